"""``cellmap reset``: let a cell be walked again, removing nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellmap_migrations.cli import common
from cellmap_migrations.operations.revisions import start_over

if TYPE_CHECKING:
    import argparse

    from oslo_config import cfg

    from cellmap_migrations import Cell

SUMMARY = "Forget how far a cell is: the next upgrade walks all of it again."
EXAMPLE = "Example: cellmap reset --cell cell1 && cellmap upgrade --cell cell1"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing of its own."""
    common.add_cell(parser)
    common.add_output(parser)


def run(conf: cfg.ConfigOpts) -> int:
    """Reset one cell, or each of them."""
    return common.run(conf, reset, conf.command.cell)


def reset(cell: Cell) -> None:
    """Reset one cell."""
    start_over(cell)
    cell.report.results.append(
        f"cell {cell.mapping}: forgotten; the next upgrade walks all of it"
    )
