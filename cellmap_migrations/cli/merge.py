"""Implement ``cellmap merge``, for a cell with two rows in ``cell_mappings``."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cellmap_migrations.cli import common
from cellmap_migrations.common.errors import BadOption
from cellmap_migrations.nova.cells import ALL
from cellmap_migrations.operations import merge, merge_undo

if TYPE_CHECKING:
    import argparse

    from oslo_config import cfg


SUMMARY = "Move the mappings of a cell that has two rows in cell_mappings to one row."

EXAMPLE = "Example: cellmap merge --cell cell1 --from twin --dry-run"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the two cells, the two modes, and the limits."""
    parser.add_argument(
        "--cell",
        type=partial(one_cell, "cell"),
        help="uuid or name of the cell to keep, or local",
    )
    parser.add_argument(
        "--from",
        dest="duplicate",
        metavar="CELL",
        required=True,
        type=partial(one_cell, "from"),
        help="uuid or name of the cell whose mappings are moved",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="only count what would be moved"
    )
    way = parser.add_mutually_exclusive_group()
    way.add_argument(
        "--database-is-gone",
        action="store_true",
        help="the database of --from no longer exists: move only the mappings whose "
        "instances --cell has",
    )
    way.add_argument(
        "--undo",
        action="store_true",
        help="move the rows of earlier merges back, as far as they still exist",
    )
    common.add_accept(parser)
    common.add_limits(parser)
    common.add_output(parser)


def run(conf: cfg.ConfigOpts) -> int:
    """Merge two cells, or undo merges."""
    command = conf.command
    shared = {"selector": command.duplicate, "dry_run": command.dry_run}
    if command.undo:
        return common.run(conf, partial(merge_undo.undo, **shared), command.cell)
    work = partial(merge.merge, gone=command.database_is_gone, **shared)
    return common.run(conf, work, command.cell)


def one_cell(name: str, selector: str) -> str:
    """Return *selector*; raise BadOption if it names all cells."""
    if selector == ALL:
        raise BadOption(name, selector, "name one cell")
    return selector
