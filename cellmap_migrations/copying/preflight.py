"""Refuse a cell before the first write."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from cellmap_migrations.bookkeeping import journal
from cellmap_migrations.copying import ask, read, top_level
from cellmap_migrations.errors import CopiedCell
from cellmap_migrations.outcomes import Copy
from cellmap_migrations.progress import say
from cellmap_migrations.schema import PLACEHOLDER

if TYPE_CHECKING:
    from cellmap_migrations.cell import Cell
    from cellmap_migrations.copying.plans import Plan

SAMPLE, ENOUGH = 100, 10


def refuse_copy(cell: Cell, plan: Plan) -> None:
    """Raise CopiedCell if most live instances live in one other cell as well.

    That is what two names for one database look like, which comparing their URLs
    cannot find out, or a restored copy of a cell. Fewer than ENOUGH say nothing.
    Raises TopLevelCell, TopLevelDoubt or MappedToTopLevel where one of the two is the
    top-level database of cells v1.
    """
    top_level.refuse_top_level(cell)
    sample = [
        row for row in read.live(cell.source, plan, SAMPLE) if row.uuid != PLACEHOLDER
    ]
    if len(sample) < ENOUGH:
        return
    mapped = cell.api.again(lambda: ask.found(cell.api, [row.uuid for row in sample]))
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
        top_level.refuse_mapped_to_top_level(cell, owner, theirs)
        other = str(cell.cells.get(owner, owner))
        raise CopiedCell(str(cell.mapping), other, copies, len(sample))


def warn_of_another_database(cell: Cell) -> None:
    """Say so if the open database is another one than at the cell's last batch."""
    now = cell.database_name[: journal.WIDTH]
    before = journal.last_database(cell.api, cell.mapping.uuid)
    if now and before and now != before:
        say(
            f"warning: cell {cell.mapping}: its database is {now}; at the last batch "
            f"it was {before}"
        )
