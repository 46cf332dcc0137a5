"""``cellmap check``: compare, and change nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cellmap_migrations.comparing import check

if TYPE_CHECKING:
    import argparse

    from cellmap_migrations import Cell

SUMMARY = "Compare a cell with its mappings; exit code 3 if they differ."
EXAMPLE = "Example: cellmap check --cell cell1"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: every comparison is the whole one."""


def work(cell: Cell, _: Any) -> None:
    """Check one cell."""
    check.check(cell)
