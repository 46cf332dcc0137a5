"""Look in which cells some instances are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellmap_migrations.comparing.orphans import select_present
from cellmap_migrations.outcomes import Copy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellmap_migrations.cell import Cell


def absent(cell: Cell, number: int, uuids: Sequence[str]) -> list[str]:
    """Return the uuids that the cell *number* certainly does not have."""
    found = copies(cell, number, uuids)
    return [uuid for uuid in uuids if found[uuid] is Copy.ABSENT]


def copies(cell: Cell, number: int, uuids: Sequence[str]) -> dict[str, Copy]:
    """Return what the cell *number*, which may be *cell*, has of each uuid."""
    if number != cell.mapping.id:
        return cell.others.copies(number, uuids)
    fold = cell.api.fold
    here = {fold(row[0]) for row in cell.source.read(select_present(cell, uuids))}
    return {uuid: Copy.LIVE if fold(uuid) in here else Copy.ABSENT for uuid in uuids}


def elsewhere(cell: Cell, number: int, uuids: Sequence[str]) -> str:
    """Return in words which other cell has the most of *uuids*; empty if none does."""
    most, name = 0, ""
    for other, mapping in cell.cells.items():
        if other == number:
            continue
        states = copies(cell, other, uuids).values()
        count = sum(state not in (Copy.ABSENT, Copy.UNKNOWN) for state in states)
        if count > most:
            most, name = count, str(mapping)
    return f"; cell {name} has {most} of {len(uuids)} looked for" if most else ""
