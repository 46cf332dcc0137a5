"""Implement ``cellmap reset``, which deletes the recorded progress of a cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellmap_migrations.cli import common
from cellmap_migrations.operations.revisions import start_over

if TYPE_CHECKING:
    import argparse

    from oslo_config import cfg

    from cellmap_migrations import Cell

SUMMARY = "Delete the progress of a cell; the next upgrade reads all its instances."
EXAMPLE = "Example: cellmap reset --cell cell1 && cellmap upgrade --cell cell1"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the cell and the output."""
    common.add_cell(parser)
    common.add_output(parser)


def run(conf: cfg.ConfigOpts) -> int:
    """Reset each cell that the command line names."""
    return common.run(conf, reset, conf.command.cell)


def reset(cell: Cell) -> None:
    """Delete the recorded progress of *cell*, and report that."""
    start_over(cell)
    cell.report.results.append(
        f"cell {cell.mapping}: forgotten; the next upgrade walks all of it"
    )
