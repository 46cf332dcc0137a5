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


# Live instances to look at from each end of the table. The oldest alone may be
# instances that no child cell accepted, which have no cell_name.
SAMPLE, ENOUGH = 100, 10

# Cells that a message names, the others are counted.
EXAMPLES = 3


def refuse_top_level(cell: Cell) -> None:
    """Raise TopLevelCell if *cell* has the top-level database of cells v1.

    Most of its instances with a ``cell_name`` live in other cells then. Raises
    TopLevelDoubt if a cell that cannot be asked may have them. The other cells are
    not asked if the column has no value.
    """
    sample = live(cell.database)
    names = named(cell.database, sample)
    if not names:
        return
    owners: Counter[str] = Counter()
    copied: set[str] = set()
    for number, other in cell.cells.items():
        if number == cell.mapping.id:
            continue
        found = cell.others.copies(number, names)
        theirs = [uuid for uuid in names if found[uuid] is Copy.LIVE]
        owners[str(other)] += len(theirs)
        copied |= set(theirs)
    counts = (len(names), len(sample))
    if most(len(copied), *counts):
        raise TopLevelCell(str(cell.mapping), len(copied), *counts, listed(+owners))
    if (silent := cell.others.silent()) and most(len(names), *counts):
        raise TopLevelDoubt(
            cell=cell.mapping,
            names=len(names),
            sample=len(sample),
            others=", ".join(silent),
        )


def listed(owners: Counter[str]) -> str:
    """Return the cells with the most copies, and how many cells there are besides."""
    first = [f"{other} has {each}" for other, each in owners.most_common(EXAMPLES)]
    more = [f"{len(owners) - EXAMPLES} more cells"] * (len(owners) > EXAMPLES)
    return ", ".join(first + more)


def most(copies: int, names: int, sample: int) -> bool:
    """Return True if so many *copies* tell that the sample is of a top-level database.

    A few rows that somebody left there are conflicts, to be decided about one by one.
    """
    return copies * 2 > names and (copies >= ENOUGH or copies * 2 > sample)


def refuse_mapped_to_top_level(cell: Cell, owner: int, uuids: Sequence[str]) -> None:
    """Raise MappedToTopLevel if *uuids* mostly have a ``cell_name`` in cell *owner*."""
    database = cell.others.open(owner)
    if database and len(named(database, uuids)) * 2 > len(uuids):
        raise MappedToTopLevel(
            cell=cell.mapping, top=cell.cells[owner], count=len(uuids)
        )


def live(database: Database) -> list[str]:
    """Return the uuids of the oldest and the newest instances that are not deleted."""
    select = sa.select(instances.c.uuid).where(instances.c.deleted == 0).limit(SAMPLE)
    ends = (instances.c.id, instances.c.id.desc())
    found = [row[0] for end in ends for row in database.read(select.order_by(end))]
    return list(dict.fromkeys(found))


def named(database: Database, uuids: Sequence[str]) -> list[str]:
    """Return which of *uuids* have a ``cell_name``; none where there is no column."""
    if not uuids or "cell_name" not in database.columns(instances):
        return []
    select = sa.select(instances.c.uuid).where(
        instances.c.uuid.in_(uuids), instances.c.cell_name != ""
    )
    return [row[0] for row in database.read(select)]


def refuse_copy(cell: Cell, plan: Plan) -> None:
    """Raise CopiedCell if most live instances live in one other cell as well.

    That is what two names for one database look like, which comparing their URLs
    cannot find out, or a restored copy of a cell. Fewer than ENOUGH say nothing.
    Raises TopLevelCell, TopLevelDoubt or MappedToTopLevel where one of the two is the
    top-level database of cells v1.
    """
    refuse_top_level(cell)
    sample = [
        row for row in read.live(cell.database, plan, SAMPLE) if row.uuid != PLACEHOLDER
    ]
    if len(sample) < ENOUGH:
        return
    mapped = cell.api.again(
        lambda: decide.find_mappings(cell.api, [row.uuid for row in sample])
    )
    owners = Counter(
        found.cell_id
        for found in mapped.values()
        if found.cell_id not in (None, cell.mapping.id)
    )
    if not owners:
        return
    owner, count = owners.most_common(1)[0]
    if owner is None or count * 2 <= len(sample):
        return
    theirs = [
        found.instance_uuid for found in mapped.values() if found.cell_id == owner
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


def warn_of_another_database(cell: Cell) -> None:
    """Say so if the open database is another one than at the cell's last batch."""
    now = cell.database_name[: journal.WIDTH]
    before = journal.last_database(cell.api, cell.mapping.uuid)
    if now and before and now != before:
        say(
            f"warning: cell {cell.mapping}: its database is {now}; at the last batch "
            f"it was {before}"
        )
