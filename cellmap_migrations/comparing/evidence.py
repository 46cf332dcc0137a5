"""Refuse a database that lacks the instances of a cell's mappings.

A wrong ``database_connection`` leads to a schema without data, to an old copy or to
another cell. There every mapping of the cell is an orphan, and every instance belongs
to another cell. If mappings were removed and moved, the whole cell would be lost.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING

import sqlalchemy as sa

from cellmap_migrations.common.sentences import InstancesMissing
from cellmap_migrations.comparing.checksums import (
    extreme_id,
    instances_side,
    mappings_side,
)
from cellmap_migrations.comparing.orphans import not_queued, present
from cellmap_migrations.copying import decide
from cellmap_migrations.copying.preflight import ENOUGH, warn_of_another_database
from cellmap_migrations.databases.among import MOST, among, parts
from cellmap_migrations.nova.rules import Copy

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cellmap_migrations.cell.cell import Cell
    from cellmap_migrations.comparing.checksums import Side
    from cellmap_migrations.copying.plan import Plan


def refuse_displaced(cell: Cell, plan: Plan) -> None:
    """Raise InstancesMissing if *cell*, or the owner of its instances, is displaced.

    ``accept_orphans`` with the count that the error shows lets the run go on.
    """
    if evidence := gather(cell, plan):
        refuse_orphans(cell, evidence)


@dataclass(frozen=True, kw_only=True)
class Displaced:
    """Describe a cell whose database lacks the instances of many mappings to it.

    *elsewhere* is text that names another cell with these instances, or is empty.
    """

    database: str
    mappings: int
    orphans: int
    elsewhere: str

    def __str__(self) -> str:
        return (
            f"{self.database}: {self.orphans:,} of the {self.mappings:,} mappings that "
            f"name this cell have no instance in its database{self.elsewhere}"
        )


# Rows of a sample.
SAMPLE = 300


def gather(cell: Cell, plan: Plan) -> list[Displaced]:
    """Return the evidence against the databases of *cell* and of its instances' owner.

    Only mappings that are not queued for deletion are sampled: nova's archive removes
    an instance some time before its mapping. All mappings of a cell are counted only
    if most instances of its sample are absent.
    """
    numbers = [cell.mapping.id, *main_owner(cell, plan)]
    return [each for number in numbers if (each := find_displaced(cell, plan, number))]


def main_owner(cell: Cell, plan: Plan) -> list[int]:
    """Return the other cell to which most of the mapped instances are mapped, or none.

    If two addresses were exchanged, this is the cell whose database is open here. Fewer
    than ENOUGH instances, or less than a quarter of the sample, are no evidence: a run
    moves their mappings, and removes none.
    """
    side = instances_side(cell, plan)
    uuids = draw_uuids(side, cell.mapping.uuid, SAMPLE)
    mappings = (
        cell.api.retry(lambda: decide.find_mappings(cell.api, uuids)) if uuids else {}
    )
    owners = (existing.cell_id for existing in mappings.values())
    numbers = Counter(number for number in owners if number is not None)
    known = numbers.keys() & cell.cells.keys() - {cell.mapping.id}
    least = max(ENOUGH, len(uuids) // 4, numbers.total() // 2 + 1)
    return [number for number in known if numbers[number] >= least]


# Orphans to look for in other cells.
EXAMPLES = 100


def find_displaced(cell: Cell, plan: Plan, number: int) -> Displaced | None:
    """Return the evidence against the database of the cell *number*, or None."""
    side = mappings_side(cell, number)
    live = replace(side, belongs=sa.and_(side.belongs, not_queued(plan)))
    sample = draw_uuids(live, cell.mapping.uuid, SAMPLE)
    if len(absent_uuids(cell, number, sample)) * 2 <= len(sample):
        return None
    mappings, orphans = 0, 0
    examples: list[str] = []
    for uuids in uuid_pages(cell, live):
        missing = absent_uuids(cell, number, uuids)
        mappings += len(uuids)
        orphans += len(missing)
        examples += missing[: EXAMPLES - len(examples)]
    if orphans * 2 <= mappings:
        return None
    return Displaced(
        database=database_of(cell, number),
        mappings=mappings,
        orphans=orphans,
        elsewhere=describe_holder(cell, number, examples),
    )


def database_of(cell: Cell, number: int) -> str:
    """Return the name and the masked address of the cell *number*."""
    database = cell.database if number == cell.mapping.id else cell.others.open(number)
    return database.what if database else str(cell.cells[number])


def describe_holder(cell: Cell, number: int, uuids: Sequence[str]) -> str:
    """Return text that names the cell with most of *uuids*, or an empty text.

    The cell *number* is not asked.
    """
    most, name = 0, ""
    for other, mapping in cell.cells.items():
        if other == number:
            continue
        copies = copies_in(cell, other, uuids).values()
        count = sum(copy not in (Copy.ABSENT, Copy.UNKNOWN) for copy in copies)
        if count > most:
            most, name = count, str(mapping)
    return f"; cell {name} has {most} of {len(uuids)} looked for" if most else ""


def refuse_orphans(cell: Cell, evidence: Sequence[Displaced]) -> None:
    """Raise InstancesMissing unless ``accept_orphans`` names the number of orphans."""
    orphans = sum(each.orphans for each in evidence)
    if not is_accepted(cell, orphans):
        warn_of_another_database(cell)
        raise InstancesMissing(cells="; ".join(map(str, evidence)), orphans=orphans)


# accept_orphans may be higher than the number of orphans by this share and these few:
# some of them may be gone by the next run.
TOLERANCE, FEW = 0.1, 10


def is_accepted(cell: Cell, orphans: int) -> bool:
    """Return True if ``accept_orphans`` is this number, or a little higher."""
    accepted = cell.settings.accept_orphans or 0
    return orphans <= accepted <= orphans * (1 + TOLERANCE) + FEW


def absent_uuids(cell: Cell, number: int, uuids: Sequence[str]) -> list[str]:
    """Return the uuids that the cell *number* certainly does not have."""
    copies = copies_in(cell, number, uuids)
    return [uuid for uuid in uuids if copies[uuid] is Copy.ABSENT]


def copies_in(cell: Cell, number: int, uuids: Sequence[str]) -> dict[str, Copy]:
    """Return the copy of each uuid in the cell *number*, which may be *cell* itself."""
    if number != cell.mapping.id:
        return cell.others.copies(number, uuids)
    fold = cell.api.fold
    here = present(cell, cell.database.read, uuids)
    return {uuid: Copy.LIVE if fold(uuid) in here else Copy.ABSENT for uuid in uuids}


# The most ids to draw: many of them may have no row.
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
    for some in parts(chosen):
        uuids += [
            row[0] for row in side.database.read(select.where(among(side.id, some)))
        ]
        if len(uuids) >= rows:
            break
    return uuids


def uuid_pages(cell: Cell, side: Side) -> Iterator[list[str]]:
    """Yield the uuids of all rows of *side*, up to MOST at a time."""
    reached = 0
    while rows := side.database.read(
        sa.select(side.id, side.uuid)
        .where(side.belongs, side.id > reached)
        .order_by(side.id)
        .limit(MOST)
    ):
        yield [row[1] for row in rows]
        reached = rows[-1][0]
        cell.keep_alive()
        cell.stopping.check()
