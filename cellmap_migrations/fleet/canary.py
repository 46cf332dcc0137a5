"""The canary: a cell that goes first, and whose end decides about the others."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cellmap_migrations import directory
from cellmap_migrations.errors import BadOption, CanaryFailed
from cellmap_migrations.fleet.processes import not_begun
from cellmap_migrations.reporting import Report, worst

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cellmap_migrations.directory import CellMapping
    from cellmap_migrations.settings import Settings


def find(
    cells: Sequence[CellMapping], settings: Settings, canary: str | None
) -> Sequence[CellMapping]:
    """Return the cell that *canary* names, or none without one.

    It may not be missing: nothing would be known of how the others will fare. Raises
    BadOption for all, and what directory.find raises.
    """
    if canary is None:
        return ()
    if canary == directory.ALL:
        raise BadOption("canary", canary, "name one cell")
    return directory.find(cells, replace(settings, cell=canary))


def in_turn(
    cells: Sequence[CellMapping],
    first: Sequence[CellMapping],
    start: Callable[[Sequence[CellMapping]], list[Report]],
) -> list[Report]:
    """Do what *start* does for those *first*, and for the rest if that ends well."""
    canary = [cell for cell in cells if cell in first]
    rest = [cell for cell in cells if cell not in first]
    ended = start(canary)
    if code := worst(ended):
        error = CanaryFailed(str(canary[0]), code)
        return ended + [not_begun(cell, error) for cell in rest]
    return ended + start(rest)
