"""Plan the columns to copy, and refuse a cell before its first write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations.bookkeeping import journal
from cellmap_migrations.common.errors import (
    CopiedCell,
    NotACellDatabase,
    NotAnApiDatabase,
)
from cellmap_migrations.common.stderr import say
from cellmap_migrations.copying import decide, read, top_level
from cellmap_migrations.nova import tables
from cellmap_migrations.nova.rules import Copy
from cellmap_migrations.nova.tables import PLACEHOLDER, instances

if TYPE_CHECKING:
    from cellmap_migrations.cell.cell import Cell
    from cellmap_migrations.databases.database import Database


# A column of the cell's instances by its name, or SQL made from that table.
ColumnSource = str | Callable[[sa.Table], sa.ColumnElement[Any]]

ALWAYS = frozenset({"id", "instance_uuid", "cell_id", "project_id", "updated_at"})


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The columns of ``instance_mappings`` to write, and the SQL that yields each."""

    columns: Mapping[str, sa.ColumnElement[Any]]
    hidden: sa.ColumnElement[Any]


def make_plan(
    columns: Mapping[str, ColumnSource], *, api: Database, cell: Database
) -> Plan:
    """Return the plan for the columns that this API schema has.

    Raises NotAnApiDatabase or NotACellDatabase when one has not even the oldest
    columns (Liberty's).
    """
    mappings_have = api.columns(tables.instance_mappings)
    if lacking := ALWAYS - mappings_have:
        raise NotAnApiDatabase(
            api.what, [f"instance_mappings.{name}" for name in sorted(lacking)]
        )
    instances_have = cell.columns(instances)
    if lacking := tables.INSTANCES_ALWAYS - instances_have:
        missing = [f"instances.{name}" for name in sorted(lacking)]
        raise NotACellDatabase(cell.what, missing)
    return Plan(
        columns={
            name: instances.c[source] if isinstance(source, str) else source(instances)
            for name, source in columns.items()
            if name in mappings_have
        },
        hidden=instances.c.hidden if "hidden" in instances_have else sa.false(),
    )


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
