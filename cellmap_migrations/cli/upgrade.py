"""Implement ``cellmap upgrade``, which upgrades cells to a revision."""

from __future__ import annotations

import importlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellmap_migrations.bookkeeping import versions
from cellmap_migrations.cli import common, fleet, processes
from cellmap_migrations.common.errors import BadOption
from cellmap_migrations.common.sentences import NoDask
from cellmap_migrations.config.settings import FILE_OPTIONS
from cellmap_migrations.nova.cells import ALL
from cellmap_migrations.operations import steps

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from oslo_config import cfg

    from cellmap_migrations import Cell
    from cellmap_migrations.config.settings import Settings
    from cellmap_migrations.nova.cells import CellMapping
    from cellmap_migrations.nova.identities import Identities
    from cellmap_migrations.output.report import Report


SUMMARY = "Map the instances of cells, and prove that all of them are mapped."

EXAMPLE = "Example: cellmap upgrade --cell all --canary cell1 --jobs 4"

PROCESSES, DASK = "processes", "dask"

# Options of the command line that are sent to the workers of a cluster.
FOR_EACH_CELL = ("max_rows", "accept_orphans")

# Digits of the largest number of jobs.
DIGITS = 10


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the revision and the options."""
    parser.add_argument(
        "revision",
        nargs="?",
        default="head",
        metavar="REVISION",
        help="revision to upgrade to, as alembic takes it (default: head)",
    )
    parser.add_argument(
        "--cell",
        action="append",
        default=[],
        help="uuid or name of a cell; local: the cell with the database of [database] "
        "connection; all: every cell; may be repeated",
    )
    parser.add_argument(
        "--jobs",
        type=parse_jobs,
        default=1,
        metavar="N",
        help="number of cells to upgrade at the same time (default: 1)",
    )
    add_executor(parser)
    parser.add_argument(
        "--canary",
        metavar="CELL",
        help="upgrade this cell first, and the others only if that ends with 0",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="only count the outcomes of the instances; write nothing",
    )
    common.add_accept(parser)
    common.add_limits(parser)
    common.add_missing(parser)
    common.add_output(parser)


def add_executor(parser: argparse.ArgumentParser) -> None:
    """Add ``--executor`` and ``--scheduler``."""
    parser.add_argument(
        "--executor",
        choices=(PROCESSES, DASK),
        default=PROCESSES,
        help="dask: one task a cell on the workers of a Dask cluster, each of which "
        "reads its own nova.conf (default: processes of this host)",
    )
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="scheduler of the Dask cluster, as in tcp://controller:8786",
    )


def run(conf: cfg.ConfigOpts) -> int:
    """Upgrade one cell, or each of several cells that lacks the revision."""
    command = conf.command
    do = steps.preview if command.dry_run else upgrade
    work = partial(do, revision=command.revision)
    if not wants_summary(command):
        return common.run(conf, work, next(iter(command.cell), None))
    task = fleet.Task(
        load=lambda: load(conf),
        start=partial(start, conf, work),
        done=lambda stamped: not versions.behind(command.revision, stamped),
        selectors=command.cell,
        canary=command.canary,
    )
    return fleet.run_fleet(task, as_json=command.output == "json")


def upgrade(cell: Cell, revision: str) -> None:
    """Upgrade *cell* as ``alembic upgrade`` does."""
    steps.upgrade(cell, versions.make_environment(versions.upgrade_steps, revision))


def wants_summary(command: argparse.Namespace) -> bool:
    """Return True if *command* is for a fleet, whose output is a summary."""
    cells, dask = command.cell, command.executor == DASK
    as_fleet = dask or (command.canary, command.scheduler) != (None, None)
    return ALL in cells or len(cells) > 1 or bool(cells and as_fleet)


def parse_jobs(text: str) -> int:
    """Return *text* as a number of jobs; raise BadOption."""
    # int() raises ValueError for a text of more than 4,300 digits.
    number = int(text) if text.isdecimal() and len(text) < DIGITS else 0
    if number < 1:
        raise BadOption("jobs", text, "write a whole number, at least 1")
    return number


def load(conf: cfg.ConfigOpts) -> Settings:
    """Return the settings; refuse an executor that cannot be used.

    Raises BadOption or NoDask, and the errors of ``common.load``.
    """
    command = conf.command
    if command.executor == DASK:
        if not command.scheduler:
            why = "add --scheduler tcp://host:port or tls://host:port"
            raise BadOption("executor", DASK, why)
        if command.jobs > 1:
            raise BadOption("jobs", command.jobs, "Dask does a cell on each worker")
        dask().refuse(command.scheduler)
    elif command.scheduler is not None:
        raise BadOption("scheduler", command.scheduler, "add --executor dask")
    return common.load(conf)


def start(
    conf: cfg.ConfigOpts,
    work: Callable[[Cell], None],
    mappings: Sequence[CellMapping],
    identities: Identities,
) -> list[Report]:
    """Do *work* for each cell with the executor of the command; return the reports."""
    command = conf.command
    do: Callable[..., list[Report]]
    if command.executor == PROCESSES:
        do = partial(processes.run_here, jobs=command.jobs)
    else:
        do = partial(
            dask().run, arguments=worker_arguments(conf), scheduler=command.scheduler
        )
    return do(mappings, identities, work=work)


def dask() -> Any:
    """Return the module ``cli.dask``; raise NoDask if Dask is not installed."""
    try:
        return importlib.import_module("cellmap_migrations.cli.dask")
    except ModuleNotFoundError as error:
        raise NoDask(missing=error.name or "distributed") from error


def worker_arguments(conf: cfg.ConfigOpts) -> list[str]:
    """Return the options of the command that a worker needs, as ``-x`` arguments.

    Files without such an option are left out: the worker reads those of its host.
    """
    files = [
        f"{name}={Path(path).absolute()}"
        for name in FILE_OPTIONS
        if (found := conf.get_location(name)) and found.location.is_user_controlled
        for path in conf[name]
    ]
    numbers = {name: getattr(conf.command, name) for name in FOR_EACH_CELL}
    return files + [f"{name}={n}" for name, n in numbers.items() if n is not None]
