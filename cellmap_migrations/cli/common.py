"""What the commands have in common: cells, output, limits, and nova.conf."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cellmap_migrations.config import options, settings
from cellmap_migrations.output.report import tell
from cellmap_migrations.run import guard, opened_api, run_cells

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from oslo_config import cfg

    from cellmap_migrations import Cell
    from cellmap_migrations.common.errors import CellmapError
    from cellmap_migrations.common.stopping import Stopping
    from cellmap_migrations.config.settings import Settings
    from cellmap_migrations.databases.database import Database

    Found = dict[str, Any]

    Look = Callable[[Settings, Database, Stopping], Found]


LIMITS = ("time_limit", "max_rows")

WELL = {"exit_code": 0, "reason": ""}


def add_cell(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """Let the command name its cell, or take *default*."""
    parser.add_argument(
        "--cell",
        default=default,
        help="uuid or name of the cell, local for the one that nova.conf points at, "
        "or all",
    )


def add_output(parser: argparse.ArgumentParser, *more: str) -> None:
    """Let the command print text, JSON, or *more*."""
    parser.add_argument(
        "--output",
        choices=("text", "json", *more),
        default="text",
        help="json: one object on one line, also on failure",
    )


def add_missing(parser: argparse.ArgumentParser) -> None:
    """Let a cell be one that is not there yet."""
    parser.add_argument(
        "--missing",
        choices=settings.RUN_OPTIONS["missing"],
        default="fail",
        help="skip: a cell that is not in cell_mappings yet is no error",
    )


def add_limits(parser: argparse.ArgumentParser) -> None:
    """Add options of ``[cellmap]`` for this run; what they take is checked there."""
    parser.add_argument(
        "--time-limit",
        metavar="SECONDS",
        help="stop after the batch in hand when so many seconds have passed (75)",
    )
    parser.add_argument(
        "--max-rows",
        metavar="ROWS",
        help="stop after so many rows of a cell (75)",
    )


def add_accept(parser: argparse.ArgumentParser) -> None:
    """Add the number of orphans with which a refused run goes on."""
    parser.add_argument(
        "--accept-orphans",
        metavar="N",
        help="go on although so many mappings have no instance in the cell's database; "
        "N is the number that the refusal showed",
    )


def load(
    conf: cfg.ConfigOpts, cell: str | None = None, *, read_only: bool = False
) -> Settings:
    """Return what nova.conf and the command line say; a dry run is *read_only*.

    Raises BadOption, NoApiDatabase or ConfigurationError.
    """
    given = {name: getattr(conf.command, name, None) for name in LIMITS}
    chosen = {name: value for name, value in given.items() if value is not None}
    options.override(conf, chosen, also=())
    return settings.make(
        conf,
        cell=cell,
        missing=getattr(conf.command, "missing", "fail"),
        remove_mappings=getattr(conf.command, "remove_mappings", "no"),
        accept_orphans=getattr(conf.command, "accept_orphans", None),
        read_only=read_only or getattr(conf.command, "dry_run", False),
    )


def run(
    conf: cfg.ConfigOpts,
    work: Callable[[Cell], None],
    cell: str | None,
    *,
    read_only: bool = False,
) -> int:
    """Do *work* for the cell, or for each of them, and return the exit code."""
    return run_cells(
        lambda: load(conf, cell, read_only=read_only),
        work,
        cell=cell,
        as_json=conf.command.output == "json",
    )


def show(
    conf: cfg.ConfigOpts, look: Look, lines: Callable[[Found], Sequence[str]]
) -> int:
    """Print what *look* finds in the API database, and return the exit code.

    As JSON, or as what *lines* makes of it.
    """
    found: Found = {}

    def work(stopping: Stopping) -> None:
        config = load(conf, conf.command.cell, read_only=True)
        with opened_api(config, stopping) as api:
            found.update(look(config, api, stopping))

    error = guard(work)
    if conf.command.output == "json":
        return tell([json.dumps(found | ending(error))], error)
    return tell(lines(found) if found else [], error)


def ending(error: CellmapError | None) -> Found:
    """Return what JSON says of the end of a command."""
    return {"exit_code": error.code, "reason": str(error)} if error else WELL
