"""``cellmap repair``: mend what can be decided safely."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cellmap_migrations.cli import common
from cellmap_migrations.operations import repair

if TYPE_CHECKING:
    import argparse

    from oslo_config import cfg


SUMMARY = "Mend what differs between a cell and its mappings, where that is safe."

EXAMPLE = "Example: cellmap repair --cell cell1 --dry-run"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the dry run."""
    parser.add_argument(
        "--dry-run", action="store_true", help="only say what would be done"
    )
    common.add_accept(parser)
    common.add_cell(parser)
    common.add_output(parser)


def run(conf: cfg.ConfigOpts) -> int:
    """Repair one cell, or each of them."""
    work = partial(repair.repair, dry_run=conf.command.dry_run)
    return common.run(conf, work, conf.command.cell)
