"""Implement ``cellmap upgrade``, which upgrades cells to a revision."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cellmap_migrations.bookkeeping import versions
from cellmap_migrations.cli import common, executors
from cellmap_migrations.cli.fleet import Task, run_fleet
from cellmap_migrations.common.errors import BadOption
from cellmap_migrations.nova.cells import ALL
from cellmap_migrations.operations import steps

if TYPE_CHECKING:
    import argparse

    from oslo_config import cfg

    from cellmap_migrations import Cell


SUMMARY = "Map the instances of cells, and prove that all of them are mapped."

EXAMPLE = "Example: cellmap upgrade --cell all --canary cell1 --jobs 4"

# Digits of the largest number of jobs.
DIGITS = 10


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the revision, the cells, the executor and the limits."""
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
    executors.arguments(parser)
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


def run(conf: cfg.ConfigOpts) -> int:
    """Upgrade one cell, or those of several cells that are not at the revision."""
    command = conf.command
    do = steps.preview if command.dry_run else upgrade
    work = partial(do, revision=command.revision)
    if not wants_summary(command):
        return common.run(conf, work, next(iter(command.cell), None))
    task = Task(
        load=lambda: executors.load(conf),
        start=partial(executors.start, conf, work),
        done=lambda stamped: not versions.behind(command.revision, stamped),
        selectors=command.cell,
        canary=command.canary,
    )
    return run_fleet(task, as_json=command.output == "json")


def upgrade(cell: Cell, revision: str) -> None:
    """Upgrade *cell* as ``alembic upgrade`` does."""
    steps.upgrade(cell, versions.make_environment(versions.upgrade_steps, revision))


def wants_summary(command: argparse.Namespace) -> bool:
    """Return True if *command* is for a fleet, whose output is a summary."""
    cells, dask = command.cell, command.executor == executors.DASK
    fleet = dask or (command.canary, command.scheduler) != (None, None)
    return ALL in cells or len(cells) > 1 or bool(cells and fleet)


def parse_jobs(text: str) -> int:
    """Return *text* as a number of jobs; raise BadOption."""
    # int() raises ValueError for a text of more than 4,300 digits.
    number = int(text) if text.isdecimal() and len(text) < DIGITS else 0
    if number < 1:
        raise BadOption("jobs", text, "write a whole number, at least 1")
    return number
