"""Implement ``cellmap repair``, which corrects differences where that is safe."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cellmap_migrations.cli import common
from cellmap_migrations.operations import repair

if TYPE_CHECKING:
    import argparse

    from oslo_config import cfg


SUMMARY = "Correct differences between a cell and its mappings, where that is safe."

EXAMPLE = "Example: cellmap repair --cell cell1 --dry-run"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the cell, the dry run and the output."""
    parser.add_argument("--dry-run", action="store_true", help="only print the changes")
    common.add_accept(parser)
    common.add_cell(parser)
    common.add_output(parser)


def run(conf: cfg.ConfigOpts) -> int:
    """Repair each cell that the command line names."""
    work = partial(repair.repair, dry_run=conf.command.dry_run)
    return common.run(conf, work, conf.command.cell)
