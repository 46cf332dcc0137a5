"""Find the duplicate's instances in the database of the cell that is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellmap_migrations import directory, urls
from cellmap_migrations.comparing.differences import Difference, Kind
from cellmap_migrations.comparing.whereabouts import absent, elsewhere
from cellmap_migrations.errors import MappingsLeft, MostlyElsewhere

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellmap_migrations.cell import Cell
    from cellmap_migrations.comparing.tally import Tally
    from cellmap_migrations.directory import CellMapping


def lost(cell: Cell, uuids: Sequence[str]) -> list[Difference]:
    """Return the instances that the database of *cell* does not have."""
    return [
        Difference(kind=Kind.ORPHAN, uuid=uuid, why=f"not in cell {cell.mapping}")
        for uuid in absent(cell, cell.mapping.id, uuids)
    ]


def refuse_most(cell: Cell, duplicate: CellMapping, left: Tally, here: int) -> None:
    """Raise MostlyElsewhere if more instances are *left* than are *here*, in *cell*."""
    if (missing := left.total()) > here:
        url, _ = directory.resolve(cell.mapping, cell.settings)
        examples = [each.uuid for each in left.examples[Kind.ORPHAN]]
        raise MostlyElsewhere(
            str(cell.mapping),
            urls.show(url),
            str(duplicate),
            missing=missing,
            mappings=missing + here,
            owner=elsewhere(cell, duplicate.id, examples),
        )


def refuse_left(cell: Cell, duplicate: CellMapping, left: Tally) -> None:
    """List the mappings that were not moved, and raise MappingsLeft if there are any.

    They are for an operator to decide about: no cell that answers says whose they are.
    """
    cell.report.listing += [f"left       {line}" for line in left.listing()]
    cell.report.details |= {"left_differences": left.as_dict()}
    if count := left.total():
        raise MappingsLeft(str(cell.mapping), str(duplicate), count)
