"""``cellmap repair``: mend what can be decided safely."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cellmap_migrations.comparing import repair

if TYPE_CHECKING:
    import argparse

    from cellmap_migrations import Cell

SUMMARY = "Mend what differs between a cell and its mappings, where that is safe."
EXAMPLE = "Example: cellmap repair --cell cell1 --dry-run"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the dry run."""
    parser.add_argument(
        "--dry-run", action="store_true", help="only say what would be done"
    )


def work(cell: Cell, command: Any) -> None:
    """Repair one cell."""
    repair.repair(cell, dry_run=command.dry_run)
