"""Find the duplicate's instances in the database of the cell that is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from cellmap_migrations import directory, urls
from cellmap_migrations.comparing.differences import Difference, Kind
from cellmap_migrations.errors import MappingsLeft, MostlyElsewhere
from cellmap_migrations.outcomes import Copy
from cellmap_migrations.schema import instances

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellmap_migrations.cell import Cell
    from cellmap_migrations.comparing.tally import Tally
    from cellmap_migrations.directory import CellMapping


def absent(cell: Cell, uuids: Sequence[str]) -> list[Difference]:
    """Return the instances that the database of *cell* does not have."""
    fold = cell.api.backend.fold
    # MySQL takes an uuid for the same in either case, and other databases do not.
    asked = {*uuids, *(uuid.lower() for uuid in uuids)}
    rows = cell.source.read(
        sa.select(instances.c.uuid).where(instances.c.uuid.in_(sorted(asked)))
    )
    there = {fold(row[0]) for row in rows}
    return [
        Difference(kind=Kind.ORPHAN, uuid=uuid, why=f"not in cell {cell.mapping}")
        for uuid in uuids
        if fold(uuid) not in there
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
            f"{missing:,} of {missing + here:,}",
            owner(cell, duplicate, examples),
        )


def refuse_left(cell: Cell, duplicate: CellMapping, left: Tally) -> None:
    """List the mappings that were not moved, and raise MappingsLeft if there are any.

    They are for an operator to decide about: no cell that answers says whose they are.
    """
    cell.report.listing += [f"left       {line}" for line in left.listing()]
    cell.report.details |= {"left_differences": left.as_dict()}
    if count := left.total():
        raise MappingsLeft(str(cell.mapping), str(duplicate), count)


def owner(cell: Cell, duplicate: CellMapping, uuids: Sequence[str]) -> str:
    """Return which other cell has most of the instances *uuids*, or nothing."""
    there = {}
    for number, other in cell.cells.items():
        if number not in (cell.mapping.id, duplicate.id):
            copies = cell.others.copies(number, uuids).values()
            known = [copy for copy in copies if copy not in (Copy.ABSENT, Copy.UNKNOWN)]
            there[str(other)] = len(known)
    most = max(there, key=lambda name: there[name], default="")
    if not there.get(most):
        return ""
    return f"cell {most} has {there[most]} of {len(uuids)} that were looked up"
