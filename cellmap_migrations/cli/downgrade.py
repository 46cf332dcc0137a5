"""Implement ``cellmap downgrade``, which reverts revisions of a cell."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cellmap_migrations.bookkeeping import versions
from cellmap_migrations.cli import common
from cellmap_migrations.operations import steps

if TYPE_CHECKING:
    import argparse

    from oslo_config import cfg

    from cellmap_migrations import Cell

SUMMARY = "Revert to a revision; base removes the mappings that 0001 inserted."
EXAMPLE = "Example: cellmap downgrade --cell cell1 --remove-mappings base"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the revision, and the confirmation to remove mappings."""
    parser.add_argument(
        "revision",
        metavar="REVISION",
        help="revision to revert to, as alembic takes it, or base",
    )
    parser.add_argument(
        "--remove-mappings",
        action="store_const",
        const="yes",
        default="no",
        help="remove mappings, although their instances then answer 404",
    )
    common.add_cell(parser)
    common.add_output(parser)


def run(conf: cfg.ConfigOpts) -> int:
    """Downgrade each cell that the command line names."""
    work = partial(downgrade, revision=conf.command.revision)
    return common.run(conf, work, conf.command.cell)


def downgrade(cell: Cell, revision: str) -> None:
    """Downgrade *cell* as ``alembic downgrade`` does."""
    environment = versions.make_environment(versions.downgrade_steps, revision)
    steps.downgrade(cell, environment, revision)
