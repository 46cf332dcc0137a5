"""Make columns of mappings agree with the cell."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations.bookkeeping.tables import MENDED
from cellmap_migrations.comparing.differences import Kind, exact, in_columns
from cellmap_migrations.copying import read
from cellmap_migrations.outcomes import Outcome, Verdict
from cellmap_migrations.schema import instance_mappings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from cellmap_migrations.cell import Cell
    from cellmap_migrations.copying.plans import Plan
    from cellmap_migrations.outcomes import Instance


def mend(
    connection: sa.Connection,
    _stamp: datetime,
    *,
    cell: Cell,
    plan: Plan,
    name: str,
    uuids: Sequence[str],
    changed: set[str],
) -> Counter[str]:
    """Set the column *name* to what the cell says, and count the rows.

    The mappings are locked first and the cell is read afterwards: nova changes a
    restored instance before it clears the flag of its mapping, so under the lock
    either the change is seen here or nova's own write comes after ours.

    ``queued_for_delete`` is never turned from true to false: nova sets it before it
    deletes. A NULL in the cell overwrites nothing.
    """
    connection.execute(
        sa.select(instance_mappings.c.id)
        .where(instance_mappings.c.instance_uuid.in_(uuids))
        .with_for_update()
    )
    mappings = exact(connection, uuids, [name])
    rows = read.by_uuids_soon(cell.source, plan, uuids)
    changed.clear()
    for (old, new), some in changes(cell, rows, mappings, name).items():
        connection.execute(
            sa.update(instance_mappings)
            .where(
                instance_mappings.c.instance_uuid.in_(some),
                instance_mappings.c.cell_id == cell.mapping.id,
                instance_mappings.c[name].is_not_distinct_from(old),
            )
            .values({name: new})
        )
        changed.update(some)
    return Counter({MENDED: len(changed)})


def changes(
    cell: Cell, rows: Sequence[Instance], mappings: dict[str, Any], name: str
) -> dict[tuple[Any, Any], list[str]]:
    """Return the uuids to change, by the value they have and the one to be set."""
    wanted: dict[tuple[Any, Any], list[str]] = defaultdict(list)
    for row in rows:
        mapping = mappings.get(row.uuid)
        if mapping is None or mapping.cell_id != cell.mapping.id or row.hidden:
            continue
        verdict = Verdict(instance=row, outcome=Outcome.ALREADY)
        kinds = {each.kind for each in in_columns(verdict, mapping, [name])}
        if Kind(name) in kinds and row.values[name] is not None:
            wanted[getattr(mapping, name), row.values[name]].append(row.uuid)
    return wanted


def respell(
    connection: sa.Connection,
    _stamp: datetime,
    *,
    cell: Cell,
    uuids: Sequence[str],
    changed: set[str],
) -> Counter[str]:
    """Spell the uuids of mappings as the cell does, where the API finds them anyway."""
    changed.clear()
    for uuid in uuids:
        result = connection.execute(
            sa.update(instance_mappings)
            .where(
                instance_mappings.c.instance_uuid == uuid,
                instance_mappings.c.cell_id == cell.mapping.id,
            )
            .values(instance_uuid=uuid)
        )
        if result.rowcount:
            changed.add(uuid)
    return Counter({MENDED: len(changed)})
