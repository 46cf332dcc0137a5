"""Decide about rows: ask around, apply the rules, look twice where in doubt."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from cellmap_migrations.copying import ask, read, twins
from cellmap_migrations.outcomes import (
    Circumstances,
    Copy,
    Found,
    Instance,
    Outcome,
    Verdict,
    decide,
    other_cell,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellmap_migrations.cell import Cell
    from cellmap_migrations.copying.plans import Plan

# A cross-cell resize has two live copies for a moment (nova 21.0.0 and later), so
# nothing is called a conflict before it was looked at twice, this many seconds apart.
SECOND_LOOK = 1.0


def utcnow() -> datetime:
    """Return the time as nova stores it: UTC, whole seconds, no time zone."""
    return datetime.now(timezone.utc).replace(microsecond=0, tzinfo=None)


def judge(cell: Cell, plan: Plan, rows: Sequence[Instance]) -> list[Verdict]:
    """Return what is to become of each row; a conflict only after a second look."""
    verdicts = second_look(cell, plan, look(cell, rows))
    return twins.refuse_second(verdicts, cell.api.fold)


def second_look(
    cell: Cell, plan: Plan, verdicts: Sequence[Verdict]
) -> Sequence[Verdict]:
    """Return *verdicts*, those that are conflicts after another look."""
    doubtful = [
        verdict.instance.id
        for verdict in verdicts
        if verdict.outcome is Outcome.CONFLICT
    ]
    if not doubtful:
        return verdicts
    cell.stopping.wait(SECOND_LOOK)
    again = look(cell, read.by_ids(cell.source, plan, doubtful))
    second = {verdict.instance.id: verdict for verdict in again}
    gone = Outcome.IN_FLIGHT
    return [
        second.get(verdict.instance.id, replace(verdict, outcome=gone, why=""))
        if verdict.outcome is Outcome.CONFLICT
        else verdict
        for verdict in verdicts
    ]


def look(cell: Cell, rows: Sequence[Instance]) -> list[Verdict]:
    """Ask the API database and the other cells, and decide."""
    fold = cell.api.fold
    if not rows:
        return []
    found = ask.found(cell.api, [row.uuid for row in rows])
    pairs = [(row, found.get(fold(row.uuid))) for row in rows]
    around = Circumstances(
        cell_id=cell.mapping.id,
        now=utcnow(),
        grace=timedelta(seconds=cell.settings.grace_seconds),
        requests=ask.requests(cell.api, without_cell(pairs)),
        copies=copies(cell, pairs),
        cell_names={number: str(other) for number, other in cell.cells.items()},
    )
    verdicts = [decide(row, mapping, around) for row, mapping in pairs]
    return twins.refuse_mapped(cell, verdicts, pairs)


def copies(
    cell: Cell, pairs: Sequence[tuple[Instance, Found | None]]
) -> dict[str, Copy]:
    """Ask each cell that some of the rows are mapped to."""
    by_cell: dict[int, list[str]] = {}
    for row, found in pairs:
        if owner := other_cell(row, found, cell.mapping.id):
            by_cell.setdefault(owner, []).append(row.uuid)
    return {
        uuid: copy
        for cell_id, uuids in by_cell.items()
        for uuid, copy in cell.others.copies(cell_id, uuids).items()
    }


def without_cell(
    pairs: Sequence[tuple[Instance, Found | None]],
) -> list[str]:
    """Return the uuids of the rows whose mapping has no cell."""
    return [row.uuid for row, found in pairs if found and found.cell_id is None]
