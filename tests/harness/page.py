"""Make the content of reports, without a cloud."""

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from cellmap_migrations.output.html.model import CellSummary, Decision, Lost, Page
from cellmap_migrations.output.html.timeline import make_timeline

NIGHT = datetime(2026, 3, 14, 2)  # noqa: DTZ001 - the journal's times are naive

KINDS = ("conflict", "rejected", "in_flight")


def cell(number: int, *, undecided: int = 0) -> CellSummary:
    """Return a cell that is complete, or that waits for decisions."""
    return CellSummary(
        uuid=str(UUID(int=number)),
        name=f"cell{number}",
        revision=None if undecided else "0003",
        state="behind" if undecided else "complete",
        database="answers",
        instances=1219,
        needing=1217,
        mapped=1217 - undecided,
        lost=Lost(before=1200, now=undecided, after=undecided),
        compared=True,
        undecided=undecided,
        outcomes=Counter(mapped=1200 - undecided, already=17, hidden=2),
        proved_at=None if undecided else NIGHT,
    )


def decision(number: int) -> Decision:
    """Return a row that an operator decides about."""
    uuid = str(UUID(int=number))
    return Decision(
        cell=f"cell{number % 7}",
        kind=KINDS[number % len(KINDS)],
        uuid=uuid,
        why="live here, and in cell2 where it is mapped",
        command="-- in one cell:\n"
        f"UPDATE instances SET deleted = id\nWHERE uuid = '{uuid}';",
    )


def fleet(cells: int, rows: int) -> Page:
    """Return the report of *cells*, one of which has *rows* to decide about."""
    return Page(
        written=NIGHT,
        api="API database (mysql 10.0.0.5:3306/nova_api)",
        compared=True,
        cells=[cell(0, undecided=rows), *map(cell, range(1, cells))],
        decisions=[decision(number) for number in range(rows)],
        timelines=[timeline] if (timeline := make_timeline("cell1", batches())) else [],
        versions={"cellmap-migrations": "1.0", "Python": "3.11.2"},
        servers={"MariaDB 10.11.6": ["API database", "cell1"]},
        settings={"batch_seconds": "0.5"},
    )


def batches(count: int = 600) -> list[dict[str, Any]]:
    """Return the journal of a walk with a long pause in the middle of it."""
    pause = count // 2
    return [
        {
            "batch": number,
            "started_at": NIGHT
            + timedelta(seconds=number // 2 + (300 if number >= pause else 0)),
            "seconds": 0.5,
            "rows_read": 4000 + 900 * (number % 5),
            "paused": 299.5 if number == pause else 0.0,
            "pause_reason": "replica db2 is 12 s behind" if number == pause else "",
        }
        for number in range(count)
    ]


def empty() -> Page:
    """Return the report of a cloud without cells."""
    return replace(
        fleet(1, 0), cells=[], decisions=[], timelines=[], servers={}, versions={}
    )
