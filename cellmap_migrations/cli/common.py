"""Define options, settings and output that several commands share."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cellmap_migrations.common.errors import BadOption
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

    Result = dict[str, Any]

    Query = Callable[[Settings, Database, Stopping], Result]


LIMITS = ("time_limit", "max_rows")

PROMETHEUS = "prometheus"


def add_cell(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """Add ``--cell``, which is *default* if it is not given."""
    parser.add_argument(
        "--cell",
        default=default,
        help="uuid or name of the cell; local: the cell with the database of "
        "[database] connection; all: every cell",
    )


def add_output(parser: argparse.ArgumentParser, *more: str) -> None:
    """Add ``--output`` with text, JSON and the formats in *more*."""
    parser.add_argument(
        "--output",
        choices=("text", "json", *more),
        default="text",
        help="json: one object on one line, also on failure",
    )


def add_metrics(parser: argparse.ArgumentParser) -> None:
    """Add ``--output`` with metrics for Prometheus, and ``-o``."""
    add_output(parser, PROMETHEUS)
    parser.add_argument(
        "-o",
        dest="metrics_file",
        metavar="FILE",
        help="with --output prometheus: write to this file, which the textfile "
        "collector of node_exporter reads (default: stdout)",
    )


def add_missing(parser: argparse.ArgumentParser) -> None:
    """Add ``--missing``, which allows that the cell does not exist yet."""
    parser.add_argument(
        "--missing",
        choices=settings.RUN_OPTIONS["missing"],
        default="fail",
        help="skip: a cell that is not in cell_mappings yet is no error",
    )


def add_limits(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``[cellmap]`` that limit a run. oslo.config checks them."""
    parser.add_argument(
        "--time-limit",
        metavar="SECONDS",
        help="stop after the current batch when this many seconds have passed (75)",
    )
    parser.add_argument(
        "--max-rows",
        metavar="ROWS",
        help="stop after this many rows of a cell (75)",
    )


def add_accept(parser: argparse.ArgumentParser) -> None:
    """Add ``--accept-orphans``, with which a refused run can be repeated."""
    parser.add_argument(
        "--accept-orphans",
        metavar="N",
        help="go on although N mappings have no instance in the cell's database; N is "
        "the number that the refusal showed",
    )


def load(
    conf: cfg.ConfigOpts, selector: str | None = None, *, read_only: bool = False
) -> Settings:
    """Return the settings from nova.conf and the command line.

    A dry run is always read-only. Raises BadOption, NoApiDatabase or
    ConfigurationError.
    """
    refuse_lone_file(conf.command)
    given = {name: getattr(conf.command, name, None) for name in LIMITS}
    chosen = {name: value for name, value in given.items() if value is not None}
    options.override(conf, chosen, also=())
    return settings.make_settings(
        conf,
        selector=selector,
        missing=getattr(conf.command, "missing", "fail"),
        remove_mappings=getattr(conf.command, "remove_mappings", "no"),
        accept_orphans=getattr(conf.command, "accept_orphans", None),
        read_only=read_only or getattr(conf.command, "dry_run", False),
    )


def refuse_lone_file(command: argparse.Namespace) -> None:
    """Raise BadOption for a file of metrics without metrics."""
    file = getattr(command, "metrics_file", None)
    if file is not None and command.output != PROMETHEUS:
        raise BadOption("-o", file, f"add --output {PROMETHEUS}")


def run(
    conf: cfg.ConfigOpts,
    work: Callable[[Cell], None],
    selector: str | None,
    *,
    read_only: bool = False,
) -> int:
    """Do *work* for each cell that *selector* names; return the exit code."""
    return run_cells(
        lambda: load(conf, selector, read_only=read_only),
        work,
        selector=selector,
        as_json=conf.command.output == "json",
    )


def show(
    conf: cfg.ConfigOpts,
    query: Query,
    lines: Callable[[Result], Sequence[str]],
    *,
    read_only: bool = True,
) -> int:
    """Print the result of *query* on the API database, and return the exit code.

    Prints JSON, or the lines that *lines* returns for the result.
    """
    result: Result = {}

    def work(stopping: Stopping) -> None:
        loaded = load(conf, conf.command.cell, read_only=read_only)
        with opened_api(loaded, stopping) as api:
            result.update(query(loaded, api, stopping))

    error = guard(work)
    if conf.command.output == "json":
        return tell([json.dumps(result | exit_fields(error))], error)
    return tell(lines(result) if result else [], error)


def exit_fields(error: CellmapError | None) -> Result:
    """Return the fields of the JSON output that every command has."""
    return {"exit_code": error.code if error else 0, "reason": str(error or "")}
