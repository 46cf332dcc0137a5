"""``cellmap status``: how far the cells are."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from cellmap_migrations.bookkeeping import history, journal, versions
from cellmap_migrations.bookkeeping.history import History
from cellmap_migrations.bookkeeping.tables import COUNTS
from cellmap_migrations.cli import common
from cellmap_migrations.common.errors import (
    CellmapError,
    ConfigurationError,
    LoginRefused,
    RightsError,
    TryAgain,
)
from cellmap_migrations.copying.read import highest_id_now
from cellmap_migrations.nova.cells import ALL, ask_each, find, read
from cellmap_migrations.nova.identities import identify
from cellmap_migrations.nova.tables import utcnow
from cellmap_migrations.operations import lasting
from cellmap_migrations.output import tables
from cellmap_migrations.output.report import spell

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from oslo_config import cfg

    from cellmap_migrations.common.stopping import Stopping
    from cellmap_migrations.config.settings import Settings
    from cellmap_migrations.databases.database import Database
    from cellmap_migrations.databases.status import Identity
    from cellmap_migrations.nova.cells import CellMapping

    Answer = tuple[int, Identity, str | None]


SUMMARY = "Show how far each cell is, and how fast it moves."

EXAMPLE = "Example: cellmap status --output json"

# Why a cell does not answer, in a few words.
GOOD = "answers"
WORDS = (
    (TryAgain, "no answer"),
    (LoginRefused, "login refused"),
    (RightsError, "no right"),
    (ConfigurationError, "misconfigured"),
    (CellmapError, "error"),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the cell; without one, all are shown."""
    common.add_cell(parser, default=ALL)
    common.add_output(parser)


def run(conf: cfg.ConfigOpts) -> int:
    """Show it, from the journal: it also answers while a cell is down."""
    return common.show(conf, look, lines)


def look(settings: Settings, api: Database, stopping: Stopping) -> dict[str, Any]:
    """Return what the journal has of each cell, and whether its database answers."""
    cells = find(read(api), settings)
    stamps, histories = versions.all_stamps(api), history.of_cells(api)
    stamped = [cell for cell in cells if cell.uuid in stamps]
    bounds = journal.reached(api, [cell.uuid for cell in stamped]) if stamped else {}
    found = ask_each(cells, partial(ask, bounds=bounds), settings, stopping)
    newest = {
        cell.id: answer[2]
        for cell in stamped
        if not isinstance(answer := found[cell.id], CellmapError)
    }
    awake = [cell for cell in stamped if cell.id in newest]
    lost = lasting.emptied(api, awake, bounds, settings, stopping, answers=newest)
    lost |= lasting.renumbered(stamps, cells)
    return {
        "cells": [
            {
                "cell": cell.uuid,
                "name": cell.name,
                **progress(
                    histories.get(cell.uuid, History()),
                    stamps[cell.uuid].revision if cell.uuid in stamps else None,
                    found[cell.id],
                    lost.get(cell.uuid, ""),
                ),
                **database(cell, cells, found),
            }
            for cell in cells
        ]
    }


def progress(
    past: History, revision: str | None, found: Answer | CellmapError, lost: str
) -> dict[str, Any]:
    """Return the state of one cell, whose database said *found*.

    *lost* is why its revision is not true any more.
    """
    last = past.last
    error = found if isinstance(found, CellmapError) else None
    bound = None if isinstance(found, CellmapError) else found[0]
    behind = versions.behind("head", revision)
    active = behind and past.active(utcnow())
    left = last.seconds_left(bound) if last and active and bound else None
    return {
        "revision": revision,
        "state": "lost" if lost else state(behind=behind, active=active),
        "lost": lost and f"its revision was recorded {lost}",
        "reachable": error is None,
        "answer": next((word for kind, word in WORDS if isinstance(error, kind)), GOOD),
        "reason": str(error) if error else "",
        "batches": past.batches,
        "rows": past.rows,
        **{name: past.counts[name] for name in COUNTS},
        "rows_per_second": last.rows_per_second if last else 0,
        "seconds_left": left and round(left),
        "last_batch": last and f"{last.last_batch.isoformat()}Z",
        "runner": last and last.runner,
    }


def ask(database: Database, cell: CellMapping, bounds: Mapping[str, int]) -> Answer:
    """Return the highest ``instances.id``, the identity, and the newest mapped uuid."""
    newest = lasting.newest_mapped(database, cell, bounds)
    return highest_id_now(database), identify(database), newest


def database(
    cell: CellMapping,
    cells: Sequence[CellMapping],
    answers: Mapping[int, Answer | CellmapError],
) -> dict[str, Any]:
    """Return the identity of a cell's database, and the *cells* that share it."""
    found = answers[cell.id]
    if isinstance(found, CellmapError):
        return {"database": None, "shared_with": []}
    return {
        "database": found[1].name,
        "shared_with": [
            other.name or other.uuid
            for other in cells
            if other.id != cell.id
            and not isinstance(theirs := answers[other.id], CellmapError)
            and theirs[1].same(found[1])
        ],
    }


def told(cell: Mapping[str, Any]) -> str:
    """Return the text of the column DATABASE."""
    if cell["shared_with"]:
        return f"same as {', '.join(cell['shared_with'])}"
    return str(cell["answer"])


def state(*, behind: bool, active: bool) -> str:
    """Return the state of a cell in a word."""
    if not behind:
        return "complete"
    return "active" if active else "behind"


def lines(found: dict[str, Any]) -> list[str]:
    """Return the table for a person."""
    heading = (
        *("CELL", "REVISION", "STATE", "DATABASE", "BATCHES", "ROWS", "OUTCOMES"),
        *("ROWS/S", "LEFT", "LAST BATCH"),
    )
    return tables.lines(
        heading,
        [
            (
                cell["name"] or cell["cell"],
                cell["revision"] or "-",
                cell["state"],
                told(cell),
                cell["batches"],
                cell["rows"],
                spell(cell) or "-",
                cell["rows_per_second"],
                str(timedelta(seconds=cell["seconds_left"] or 0))
                if cell["seconds_left"] is not None
                else "-",
                cell["last_batch"] or "-",
            )
            for cell in found["cells"]
        ],
    )
