"""``cellmap reset``: let a cell be walked again, removing nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cellmap_migrations.bookkeeping import journal, version

if TYPE_CHECKING:
    import argparse

    from cellmap_migrations import Cell

SUMMARY = "Forget how far a cell is: the next upgrade walks all of it again."
EXAMPLE = "Example: cellmap reset --cell cell1 && alembic -x cell=cell1 upgrade head"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing."""


def work(cell: Cell, _: Any) -> None:
    """Reset one cell."""
    version.forget(cell.api, cell.mapping.uuid)
    for revision in journal.revisions(cell.api, cell.mapping.uuid):
        cell.forget(revision)
    cell.report.results.append(
        f"cell {cell.mapping}: forgotten; the next upgrade walks all of it"
    )
