"""Implement ``cellmap status``, which shows the progress of each cell."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from cellmap_migrations.bookkeeping import history, requests, versions
from cellmap_migrations.bookkeeping.history import History
from cellmap_migrations.bookkeeping.requests import InForce
from cellmap_migrations.bookkeeping.tables import COUNTS
from cellmap_migrations.cli import common, metrics
from cellmap_migrations.cli.requests import in_force_lines
from cellmap_migrations.common.errors import (
    CellmapError,
    ConfigurationError,
    LoginRefused,
    RightsError,
    TryAgain,
)
from cellmap_migrations.copying.read import highest_id_once
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

    from cellmap_migrations.bookkeeping.versions import Stamp
    from cellmap_migrations.common.stopping import Stopping
    from cellmap_migrations.config.settings import Settings
    from cellmap_migrations.databases.database import Database
    from cellmap_migrations.databases.status import Identity
    from cellmap_migrations.nova.cells import CellMapping


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Hold one answer of a cell's database.

    *newest* is the result of ``lasting.newest_mapped``.
    """

    highest_id: int
    identity: Identity
    newest: str | None
    server: str


SUMMARY = "Show how far each cell is, and how fast it moves."

EXAMPLE = "Example: cellmap status --output json"

# The column DATABASE: the error of a cell's database, in two words.
GOOD = "answers"
WORDS = (
    (TryAgain, "no answer"),
    (LoginRefused, "login refused"),
    (RightsError, "no right"),
    (ConfigurationError, "misconfigured"),
    (CellmapError, "error"),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options; without ``--cell`` the command shows all cells."""
    common.add_cell(parser, default=ALL)
    common.add_metrics(parser)


def run(conf: cfg.ConfigOpts) -> int:
    """Print the status. The journal has most of it, also while a cell is down."""
    if conf.command.output == common.PROMETHEUS:
        return metrics.show(conf, collect)
    return common.show(conf, collect, lines)


def collect(settings: Settings, api: Database, stopping: Stopping) -> dict[str, Any]:
    """Return the progress of each cell, and whether its database answers."""
    return {"cells": of_cells(find(read(api), settings), settings, api, stopping)}


def of_cells(
    mappings: Sequence[CellMapping],
    settings: Settings,
    api: Database,
    stopping: Stopping,
) -> list[dict[str, Any]]:
    """Return the progress of each of *mappings*, and whether its database answers."""
    stamps, histories = versions.all_stamps(api), history.of_cells(api)
    requested = requests_in_force(api, mappings)
    bounds = lasting.highest_mapped(api, mappings, stamps)
    answers = ask_each(mappings, partial(ask, bounds=bounds), settings, stopping)
    newest = {
        mapping.id: answer.newest
        for mapping in mappings
        if isinstance(answer := answers[mapping.id], Answer)
    }
    lost = lasting.emptied(
        api, mappings, settings, stopping, bounds=bounds, answers=newest
    )
    lost |= lasting.disowned(stamps, mappings)
    return [
        {
            "cell": mapping.uuid,
            "name": mapping.name,
            **progress(
                histories.get(mapping.uuid, History()),
                stamps.get(mapping.uuid),
                answers[mapping.id],
                lost.get(mapping.uuid, ""),
                paused=requested[mapping.uuid]["pause"] is not None,
            ),
            **database(mapping, mappings, answers),
            **requested[mapping.uuid],
        }
        for mapping in mappings
    ]


def requests_in_force(
    api: Database, mappings: Sequence[CellMapping]
) -> dict[str, dict[str, Any]]:
    """Return the requests of operators in force, by the uuid of each cell."""
    found, now = requests.of_cells(api), utcnow()
    return {
        mapping.uuid: found.get(mapping.uuid, InForce()).as_dict(now)
        for mapping in mappings
    }


def progress(
    past: History,
    stamp: Stamp | None,
    answer: Answer | CellmapError,
    lost: str,
    *,
    paused: bool,
) -> dict[str, Any]:
    """Return the state of one cell, from its history and its database's *answer*.

    *stamp* has its recorded revision. *lost* is the reason why that revision is no
    longer true, or empty. *paused* is True while an operator lets its runs pause.
    """
    last = past.last
    error = answer if isinstance(answer, CellmapError) else None
    bound = answer.highest_id if isinstance(answer, Answer) else None
    revision = stamp and stamp.revision
    proved_at = stamp and stamp.proved_at
    behind = versions.behind("head", revision)
    active = behind and past.active(utcnow())
    left = last.seconds_left(bound) if last and active and bound else None
    return {
        "revision": revision,
        "proved_at": proved_at and f"{proved_at.isoformat()}Z",
        "state": "lost" if lost else state(behind=behind, active=active, paused=paused),
        "lost": lost and f"its revision was recorded {lost}",
        "reachable": error is None,
        "answer": next((word for kind, word in WORDS if isinstance(error, kind)), GOOD),
        "reason": str(error) if error else "",
        "batches": past.batches,
        "rows": past.rows,
        "seconds": past.busy,
        "paused": past.paused,
        **{name: past.counts[name] for name in COUNTS},
        "rows_per_second": last.rows_per_second if last else 0,
        "seconds_left": left and round(left),
        "last_batch": last and f"{last.last_batch.isoformat()}Z",
        "runner": last and last.runner,
    }


def ask(database: Database, mapping: CellMapping, bounds: Mapping[str, int]) -> Answer:
    """Return the answer of a cell's *database*; do not retry."""
    return Answer(
        newest=lasting.newest_mapped(database, mapping, bounds),
        highest_id=highest_id_once(database),
        identity=identify(database),
        server=database.server(),
    )


def database(
    mapping: CellMapping,
    mappings: Sequence[CellMapping],
    answers: Mapping[int, Answer | CellmapError],
) -> dict[str, Any]:
    """Return the name of a cell's database, and the other cells that share it."""
    answer = answers[mapping.id]
    if isinstance(answer, CellmapError):
        return {"database": None, "server": None, "shared_with": []}
    return {
        "database": answer.identity.name,
        "server": answer.server,
        "shared_with": [
            other.name or other.uuid
            for other in mappings
            if other.id != mapping.id
            and isinstance(theirs := answers[other.id], Answer)
            and theirs.identity.same(answer.identity)
        ],
    }


def database_text(cell: Mapping[str, Any]) -> str:
    """Return the text of the column DATABASE."""
    if cell["shared_with"]:
        return f"same as {', '.join(cell['shared_with'])}"
    return str(cell["answer"])


def state(*, behind: bool, active: bool, paused: bool) -> str:
    """Return the state of a cell in a word."""
    if not behind:
        return "complete"
    if paused:
        return "paused"
    return "active" if active else "behind"


def lines(found: dict[str, Any]) -> list[str]:
    """Return the lines of the table, one for each cell, and those of requests."""
    heading = (
        *("CELL", "REVISION", "STATE", "DATABASE", "BATCHES", "ROWS", "OUTCOMES"),
        *("ROWS/S", "LEFT", "LAST BATCH"),
    )
    table = tables.lines(
        heading,
        [
            (
                cell["name"] or cell["cell"],
                cell["revision"] or "-",
                cell["state"],
                database_text(cell),
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
    return table + in_force_lines(found)
