"""``cellmap downgrade``: take back what revisions did to a cell."""

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

SUMMARY = "Go back to a revision; base removes the mappings that 0001 made."
EXAMPLE = "Example: cellmap downgrade --cell cell1 --remove-mappings base"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the revision, and the leave to remove mappings."""
    parser.add_argument(
        "revision",
        metavar="REVISION",
        help="revision to go back to, as alembic takes it, or base",
    )
    parser.add_argument(
        "--remove-mappings",
        action="store_const",
        const="yes",
        default="no",
        help="do it although instances without a mapping answer 404 from then on",
    )
    common.add_cell(parser)
    common.add_output(parser)


def run(conf: cfg.ConfigOpts) -> int:
    """Downgrade one cell, or each of them."""
    work = partial(downgrade, revision=conf.command.revision)
    return common.run(conf, work, conf.command.cell)


def downgrade(cell: Cell, revision: str) -> None:
    """Do to *cell* what ``alembic downgrade`` does."""
    environment = versions.environment(versions.downgrade_steps, revision)
    steps.downgrade(cell, environment, revision)
