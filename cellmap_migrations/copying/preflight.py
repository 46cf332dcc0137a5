"""Refuse a database that holds copies of other cells' instances, before any write.

One kind is the top-level database of cells v1. Until Stein, nova kept a copy of every
instance there, and wrote the name of the child cell into ``instances.cell_name``. No
other nova database has values in this column.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import sqlalchemy as sa

from cellmap_migrations.bookkeeping import journal
from cellmap_migrations.common.errors import TopLevelCell
from cellmap_migrations.common.sentences import (
    CopiedCell,
    MappedToTopLevel,
    TopLevelDoubt,
)
from cellmap_migrations.common.stderr import say
from cellmap_migrations.copying import decide, read
from cellmap_migrations.nova.rules import Copy
from cellmap_migrations.nova.tables import PLACEHOLDER, instances

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellmap_migrations.cell.cell import Cell
    from cellmap_migrations.copying.plan import Plan
    from cellmap_migrations.databases.database import Database


# Live instances to read from each end of the table. All of the oldest ones may be
# instances that no child cell accepted, which have no cell_name.
SAMPLE = 100

# Cells that a message names. Further cells are counted.
EXAMPLES = 3

# Fewer instances than these are no evidence.
ENOUGH = 10


def refuse_copy(cell: Cell, plan: Plan) -> None:
    """Raise CopiedCell if most live instances live in one other cell as well.

    Then the database is a restored copy of that cell's, or the same one under another
    address. Fewer than ENOUGH instances are no evidence. Raises TopLevelCell,
    TopLevelDoubt or MappedToTopLevel if one of the two databases is the top-level one
    of cells v1.
    """
    refuse_top_level(cell)
    oldest = read.oldest_live(cell.database, plan, SAMPLE)
    sample = [row.uuid for row in oldest if row.uuid != PLACEHOLDER]
    if len(sample) < ENOUGH:
        return
    mappings = cell.api.retry(lambda: decide.find_mappings(cell.api, sample))
    owners = Counter(
        existing.cell_id
        for existing in mappings.values()
        if existing.cell_id not in (None, cell.mapping.id)
    )
    if not owners:
        return
    owner, count = owners.most_common(1)[0]
    if owner is None or count * 2 <= len(sample):
        return
    theirs = [
        existing.instance_uuid
        for existing in mappings.values()
        if existing.cell_id == owner
    ]
    copies = Counter(cell.others.copies(owner, theirs).values())[Copy.LIVE]
    if copies * 2 > len(sample):
        refuse_mapped_to_top_level(cell, owner, theirs)
        raise CopiedCell(
            cell=cell.mapping,
            other=cell.cells.get(owner, owner),
            copies=copies,
            sample=len(sample),
        )


def refuse_top_level(cell: Cell) -> None:
    """Raise TopLevelCell if *cell* has the top-level database of cells v1.

    Most of the instances that have a ``cell_name`` then live in other cells as well.
    Raises TopLevelDoubt if a cell that cannot be asked may have them. Without any
    ``cell_name`` the other cells are not asked.
    """
    sample = live_uuids(cell.database)
    named = with_cell_name(cell.database, sample)
    if not named:
        return
    owners: Counter[str] = Counter()
    copied: set[str] = set()
    for number, other in cell.cells.items():
        if number == cell.mapping.id:
            continue
        copies = cell.others.copies(number, named)
        theirs = [uuid for uuid in named if copies[uuid] is Copy.LIVE]
        owners[str(other)] += len(theirs)
        copied |= set(theirs)
    counts = (len(named), len(sample))
    if is_top_level(len(copied), *counts):
        raise TopLevelCell(
            str(cell.mapping), len(copied), *counts, most_copies(+owners)
        )
    if (silent := cell.others.silent()) and is_top_level(len(named), *counts):
        raise TopLevelDoubt(
            cell=cell.mapping,
            names=len(named),
            sample=len(sample),
            others=", ".join(silent),
        )


def most_copies(owners: Counter[str]) -> str:
    """Return the cells with the most copies, and how many cells there are besides."""
    first = [f"{other} has {each}" for other, each in owners.most_common(EXAMPLES)]
    more = [f"{len(owners) - EXAMPLES} more cells"] * (len(owners) > EXAMPLES)
    return ", ".join(first + more)


def live_uuids(database: Database) -> list[str]:
    """Return the uuids of the oldest and the newest instances that are not deleted."""
    select = sa.select(instances.c.uuid).where(instances.c.deleted == 0).limit(SAMPLE)
    ends = (instances.c.id, instances.c.id.desc())
    uuids = [row[0] for end in ends for row in database.read(select.order_by(end))]
    return list(dict.fromkeys(uuids))


def with_cell_name(database: Database, uuids: Sequence[str]) -> list[str]:
    """Return the *uuids* that have a ``cell_name``; none without such a column."""
    if not uuids or "cell_name" not in database.columns(instances):
        return []
    select = sa.select(instances.c.uuid).where(
        instances.c.uuid.in_(uuids), instances.c.cell_name != ""
    )
    return [row[0] for row in database.read(select)]


def is_top_level(copies: int, named: int, sample: int) -> bool:
    """Return True if the sample has so many *copies* that it is of a top-level cell.

    A few copies are conflicts instead, and each of them is decided about.
    """
    return copies * 2 > named and (copies >= ENOUGH or copies * 2 > sample)


def refuse_mapped_to_top_level(cell: Cell, owner: int, uuids: Sequence[str]) -> None:
    """Raise MappedToTopLevel if most *uuids* have a ``cell_name`` in cell *owner*."""
    database = cell.others.open(owner)
    if database and len(with_cell_name(database, uuids)) * 2 > len(uuids):
        raise MappedToTopLevel(
            cell=cell.mapping, top=cell.cells[owner], count=len(uuids)
        )


def warn_of_another_database(cell: Cell) -> None:
    """Print a warning if the cell's database is not that of its last batch."""
    now = cell.database_name[: journal.WIDTH]
    before = journal.last_database(cell.api, cell.mapping.uuid)
    if now and before and now != before:
        say(
            f"warning: cell {cell.mapping}: its database is {now}; at the last batch "
            f"it was {before}"
        )
