"""Look whether the mappings that name a cell have their instances in its database.

A wrong ``database_connection`` leads to a schema without data, to an old copy or to
another cell. Seen from there every mapping of the cell is an orphan, and every instance
belongs to another cell; to remove and to move them would lose the whole cell.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import sqlalchemy as sa

from cellmap_migrations.comparing.chunks import PAGE
from cellmap_migrations.comparing.orphans import not_queued
from cellmap_migrations.comparing.sample import drawn
from cellmap_migrations.comparing.sides import instances_side, mappings_side
from cellmap_migrations.comparing.whereabouts import absent, elsewhere
from cellmap_migrations.copying import ask
from cellmap_migrations.copying.preflight import ENOUGH, warn_of_another_database
from cellmap_migrations.errors import InstancesMissing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cellmap_migrations.cell import Cell
    from cellmap_migrations.comparing.sides import Side
    from cellmap_migrations.copying.plans import Plan

# Rows of a sample, and instances to look for in other cells.
SAMPLE, EXAMPLES = 300, 100
# An operator accepts a count of orphans, and a few of them may be gone by the next run.
TOLERANCE, FEW = 0.1, 10


@dataclass(frozen=True, kw_only=True)
class Displaced:
    """A cell whose database lacks the instances of many mappings that name it."""

    database: str
    mappings: int
    orphans: int
    # The cell that has most of the instances, and how many of how many looked for.
    elsewhere: str

    def __str__(self) -> str:
        return (
            f"{self.database}: {self.orphans:,} of the {self.mappings:,} mappings that "
            f"name this cell have no instance in its database{self.elsewhere}"
        )


def refuse_displaced(cell: Cell, plan: Plan) -> None:
    """Raise InstancesMissing if *cell*, or the owner of its instances, is displaced.

    ``accept_orphans`` with the count that the error shows lets the run go on.
    """
    if found := gather(cell, plan):
        refuse(cell, found)


def gather(cell: Cell, plan: Plan) -> list[Displaced]:
    """Return the evidence against the databases of *cell* and of its instances' owner.

    Looks at samples of the mappings that are not queued for deletion: nova's archive
    removes an instance some time before its mapping. Only if most of a sample is
    missing, all mappings of that cell are counted.
    """
    numbers = [cell.mapping.id, *owner(cell, plan)]
    return [each for number in numbers if (each := displaced(cell, plan, number))]


def refuse(cell: Cell, found: Sequence[Displaced]) -> None:
    """Raise InstancesMissing unless the operator has accepted so many orphans."""
    orphans = sum(each.orphans for each in found)
    if not accepted(cell, orphans):
        warn_of_another_database(cell)
        raise InstancesMissing(list(map(str, found)), orphans)


def accepted(cell: Cell, orphans: int) -> bool:
    """Return True if ``accept_orphans`` names this number, or one a little higher."""
    said = cell.settings.accept_orphans or 0
    return orphans <= said <= orphans * (1 + TOLERANCE) + FEW


def owner(cell: Cell, plan: Plan) -> list[int]:
    """Return the other cell to which most of the mapped instances are mapped, or none.

    With exchanged addresses this is the cell whose database is open here. Nothing is
    said by fewer than ENOUGH instances, or by less than a quarter of the sample: a run
    moves those, and that removes no mapping.
    """
    side = instances_side(cell, plan)
    uuids = drawn(side, cell.mapping.uuid, SAMPLE)[0]
    mapped = cell.api.again(lambda: ask.found(cell.api, uuids)) if uuids else {}
    numbers = Counter(row.cell_id for row in mapped.values() if row.cell_id is not None)
    known = numbers.keys() & cell.cells.keys() - {cell.mapping.id}
    least = max(ENOUGH, len(uuids) // 4, numbers.total() // 2 + 1)
    return [number for number in known if numbers[number] >= least]


def displaced(cell: Cell, plan: Plan, number: int) -> Displaced | None:
    """Return the evidence against the database of the cell *number*, or None."""
    side = mappings_side(cell, number)
    live = replace(side, belongs=sa.and_(side.belongs, not_queued(plan)))
    sample = drawn(live, cell.mapping.uuid, SAMPLE)[0]
    if len(absent(cell, number, sample)) * 2 <= len(sample):
        return None
    mappings, orphans = 0, 0
    examples: list[str] = []
    for uuids in pages(cell, live):
        missing = absent(cell, number, uuids)
        mappings += len(uuids)
        orphans += len(missing)
        examples += missing[: EXAMPLES - len(examples)]
    if orphans * 2 <= mappings:
        return None
    return Displaced(
        database=what(cell, number),
        mappings=mappings,
        orphans=orphans,
        elsewhere=elsewhere(cell, number, examples),
    )


def pages(cell: Cell, side: Side) -> Iterator[list[str]]:
    """Yield the uuids of all rows of *side*."""
    reached = 0
    while rows := side.database.read(
        sa.select(side.id, side.uuid)
        .where(side.belongs, side.id > reached)
        .order_by(side.id)
        .limit(PAGE)
    ):
        yield [row[1] for row in rows]
        reached = rows[-1][0]
        cell.keep_alive()
        cell.stopping.check()


def what(cell: Cell, number: int) -> str:
    """Return the name and the address of the cell *number*."""
    database = cell.source if number == cell.mapping.id else cell.others.open(number)
    return database.what if database else str(cell.cells[number])
