"""Record a request of an operator, for ``pause``, ``resume`` and ``set``."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from cellmap_migrations.bookkeeping import history, requests, tables
from cellmap_migrations.bookkeeping.history import LATELY, History
from cellmap_migrations.bookkeeping.requests import WIDTH, InForce, Request
from cellmap_migrations.cli import common
from cellmap_migrations.common import secrets
from cellmap_migrations.common.errors import BadOption
from cellmap_migrations.nova.cells import find, read
from cellmap_migrations.nova.tables import utcnow

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence

    from oslo_config import cfg

    from cellmap_migrations.config.settings import Settings
    from cellmap_migrations.databases.database import Database

    # Returns the requests for a cell, given the settings in force for it.
    Wanted = Callable[[Settings, Request], Sequence[Request]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the cell, the reason and the output."""
    common.add_cell(parser)
    parser.add_argument(
        "--why",
        type=parse_why,
        default="",
        metavar="TEXT",
        help="the reason, which status, the progress bar and the journal show",
    )
    common.add_output(parser)


def parse_why(text: str) -> str:
    """Return *text* as a reason of one line that each database can store.

    Raises BadOption.
    """
    line = "".join(
        # MariaDB and MySQL refuse others if the URL has charset=utf8, as nova's has.
        each if each <= "\uffff" else each.encode("unicode_escape").decode()
        for each in secrets.one_line(text.strip())
    )
    if len(line) > WIDTH:
        raise BadOption("why", f"{line[:20]}...", f"write at most {WIDTH} characters")
    return line


def run(conf: cfg.ConfigOpts, wanted: Wanted) -> int:
    """Record the requests that *wanted* returns for each cell of the command line."""
    query = partial(record, wanted=wanted, why=conf.command.why)
    return common.show(conf, query, lines, read_only=False)


def record(
    settings: Settings, api: Database, _: Any, *, wanted: Wanted, why: str
) -> dict[str, Any]:
    """Add the requests to the log, and return what is in force then in each cell."""
    mappings = find(read(api), settings)
    now, histories = utcnow(), history.of_cells(api)
    blank = Request(
        action="",
        requested_at=now,
        requested_by=requests.requester(),
        why=secrets.mask(why),
    )
    before = requests.of_cells(api)
    chosen = {
        mapping.uuid: wanted(
            before.get(mapping.uuid, InForce()).settings(settings)[0], blank
        )
        for mapping in mappings
    }
    tables.provide_table(api, tables.control)
    for cell_uuid, some in chosen.items():
        requests.append(api, cell_uuid, some)
    after = requests.of_cells(api)
    return {
        "cells": [
            {
                "cell": mapping.uuid,
                "name": mapping.name,
                "active": histories.get(mapping.uuid, History()).active(now),
                **after[mapping.uuid].as_dict(now),
            }
            for mapping in mappings
        ]
    }


def lines(found: Mapping[str, Any]) -> list[str]:
    """Return the lines in force, and a line on each cell that says who heeds them."""
    told = [f"{label(cell)}: {activity(cell)}" for cell in found["cells"]]
    return [*in_force_lines(found), *told]


def in_force_lines(found: Mapping[str, Any]) -> list[str]:
    """Return the lines of the requests in force in all cells of *found*."""
    return [
        f"{label(cell)}: {line}" for cell in found["cells"] for line in in_force(cell)
    ]


def label(cell: Mapping[str, Any]) -> str:
    """Return the name of a cell, or the uuid of a cell without a name."""
    return str(cell["name"] or cell["cell"])


def in_force(cell: Mapping[str, Any]) -> list[str]:
    """Return a line for the pause and for each setting in force in *cell*."""
    told: list[str] = []
    if pause := cell["pause"]:
        told.append(f"paused until {pause['until']}, {told_by(pause)}")
    for name, each in cell["settings"].items():
        told.append(f"{name}={each['value']}, {told_by(each)}")
    return told


def told_by(request: Mapping[str, str]) -> str:
    """Return who requested it, when, and why."""
    said = f"requested by {request['requested_by']} at {request['requested_at']}"
    return f"{said}: {request['why']}" if request["why"] else said


def activity(cell: Mapping[str, Any]) -> str:
    """Return whether a run seems to be under way."""
    seconds = f"{LATELY.total_seconds():g}"
    if cell["active"]:
        return (
            f"a batch was committed in the last {seconds} s: the run that seems to be "
            "under way heeds this before its next batch"
        )
    return (
        f"no batch was committed in the last {seconds} s: a run that is paused heeds "
        "this within a second, and any other when it begins"
    )
