"""Refuse a database that lacks the instances of a cell's mappings.

A wrong ``database_connection`` leads to a schema without data, to an old copy or to
another cell. Seen from there every mapping of the cell is an orphan, and every instance
belongs to another cell; to remove and to move them would lose the whole cell.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime
from random import Random
from typing import TYPE_CHECKING

import sqlalchemy as sa

from cellmap_migrations.bookkeeping import journal
from cellmap_migrations.bookkeeping.journal import inserted_by
from cellmap_migrations.common.sentences import InstancesMissing, Unsettled
from cellmap_migrations.comparing.checksums import (
    extreme_id,
    instances_side,
    mappings_side,
)
from cellmap_migrations.comparing.chunks import PAGE
from cellmap_migrations.comparing.orphans import not_queued, select_present
from cellmap_migrations.copying import decide, read
from cellmap_migrations.copying.preflight import ENOUGH, warn_of_another_database
from cellmap_migrations.nova.rules import Copy
from cellmap_migrations.nova.tables import instance_mappings, instances

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cellmap_migrations.cell.cell import Cell
    from cellmap_migrations.comparing.checksums import Side
    from cellmap_migrations.copying.plan import Plan


# How many ids are drawn at most, as many of them may be holes.
DRAWS = 20_000


def draw_uuids(side: Side, seed: str, rows: int) -> list[str]:
    """Return up to about *rows* uuids of *side*, drawn at random by *seed*."""
    select = sa.select(side.uuid).where(side.belongs)
    first = side.database.read(select.order_by(side.id).limit(rows + 1))
    if len(first) <= rows:
        return [row[0] for row in first]
    ids = range(extreme_id(side, sa.func.min), extreme_id(side, sa.func.max) + 1)
    chosen = Random(seed).sample(ids, min(DRAWS, len(ids)))  # noqa: S311 - no secret
    uuids: list[str] = []
    for start in range(0, len(chosen), PAGE):
        some = chosen[start : start + PAGE]
        uuids += [row[0] for row in side.database.read(select.where(side.id.in_(some)))]
        if len(uuids) >= rows:
            break
    return uuids


def absent(cell: Cell, number: int, uuids: Sequence[str]) -> list[str]:
    """Return the uuids that the cell *number* certainly does not have."""
    found = copies(cell, number, uuids)
    return [uuid for uuid in uuids if found[uuid] is Copy.ABSENT]


def copies(cell: Cell, number: int, uuids: Sequence[str]) -> dict[str, Copy]:
    """Return what the cell *number*, which may be *cell*, has of each uuid."""
    if number != cell.mapping.id:
        return cell.others.copies(number, uuids)
    fold = cell.api.fold
    here = {fold(row[0]) for row in cell.database.read(select_present(cell, uuids))}
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
        raise InstancesMissing(cells="; ".join(map(str, found)), orphans=orphans)


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
    uuids = draw_uuids(side, cell.mapping.uuid, SAMPLE)
    mapped = (
        cell.api.again(lambda: decide.find_mappings(cell.api, uuids)) if uuids else {}
    )
    numbers = Counter(row.cell_id for row in mapped.values() if row.cell_id is not None)
    known = numbers.keys() & cell.cells.keys() - {cell.mapping.id}
    least = max(ENOUGH, len(uuids) // 4, numbers.total() // 2 + 1)
    return [number for number in known if numbers[number] >= least]


def displaced(cell: Cell, plan: Plan, number: int) -> Displaced | None:
    """Return the evidence against the database of the cell *number*, or None."""
    side = mappings_side(cell, number)
    live = replace(side, belongs=sa.and_(side.belongs, not_queued(plan)))
    sample = draw_uuids(live, cell.mapping.uuid, SAMPLE)
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
    database = cell.database if number == cell.mapping.id else cell.others.open(number)
    return database.what if database else str(cell.cells[number])


# Instances with the highest ids: one of them is the youngest.
NEWEST = 20

BEFORE_NOVA = datetime.fromisoformat("1970-01-01")


class Losses:
    """The orphans of *cell*, and how many of them nova cannot have left behind.

    nova archives deleted instances only, and queues an instance for deletion before it
    deletes it. So an orphan that is not queued was lost in another way if this package
    inserted its mapping, or if it is younger than the youngest instance: the database
    is probably an old copy.
    """

    def __init__(self, cell: Cell, plan: Plan) -> None:
        self.cell, self.plan = cell, plan
        self.orphans, self.unexplained, self.removed = 0, 0, 0

    def count(self, uuids: Sequence[str]) -> None:
        """Add orphans of a page."""
        missing = absent(self.cell, self.cell.mapping.id, uuids)
        self.orphans += len(missing)
        if missing and "queued_for_delete" in self.plan.columns:
            self.unexplained += self.lost(missing)

    def lost(self, uuids: Sequence[str]) -> int:
        """Return how many of the orphans *uuids* nova cannot have left behind."""
        table = instance_mappings.c
        strange = [table.created_at > youngest(self.cell)]
        if journal.exists(self.cell.api):
            strange.append(inserted_by(self.cell.mapping))
        found = self.cell.api.read(
            sa.select(sa.func.count()).where(
                table.instance_uuid.in_(uuids),
                table.cell_id == self.cell.mapping.id,
                not_queued(self.plan),
                sa.or_(*strange),
            )
        )
        return int(found[0][0])

    def found(self, gained: int = 0) -> Displaced | None:
        """Return what speaks against the database of the cell, or None.

        *gained* is the number of mappings that a dry run has not made.
        """
        if not self.orphans:
            return None
        count = sa.select(sa.func.count()).select_from(instance_mappings)
        named = count.where(instance_mappings.c.cell_id == self.cell.mapping.id)
        mappings = int(self.cell.api.read(named)[0][0]) + gained
        if not self.unexplained and (
            self.orphans < ENOUGH or self.orphans * 2 <= mappings
        ):
            return None
        why = "; nova has not queued them for deletion" if self.unexplained else ""
        return Displaced(
            database=self.cell.database.what,
            mappings=mappings,
            orphans=self.unexplained or self.orphans,
            elsewhere=why,
        )

    def refuse(self, gained: int = 0) -> None:
        """Raise InstancesMissing if the database of the cell seems to be wrong."""
        if displaced := self.found(gained):
            refuse(self.cell, [displaced])

    def remove(self, orphans: int) -> None:
        """Raise Unsettled before more orphans are removed than were counted."""
        self.removed += orphans
        if self.removed > self.orphans * (1 + TOLERANCE) + FEW:
            raise Unsettled(cell=self.cell.mapping, count=self.removed)


def youngest(cell: Cell) -> datetime:
    """Return the highest created_at of the newest instances, or 1970 without any."""
    created_at = sa.select(instances.c.created_at).order_by(instances.c.id.desc())
    times = [
        read.time_of(row[0]) for row in cell.database.read(created_at.limit(NEWEST))
    ]
    return max(filter(None, times), default=BEFORE_NOVA)
