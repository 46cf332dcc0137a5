"""Mappings to this cell whose instance is gone from it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations.bookkeeping.journal import inserted_by
from cellmap_migrations.bookkeeping.tables import REMOVED
from cellmap_migrations.comparing.differences import Kind
from cellmap_migrations.comparing.unsettled import settled, unsettled
from cellmap_migrations.copying import decide
from cellmap_migrations.nova.rules import Copy
from cellmap_migrations.nova.tables import instance_mappings, instances

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from cellmap_migrations.cell.cell import Cell
    from cellmap_migrations.comparing.differences import Difference
    from cellmap_migrations.copying.plan import Plan


def remove(
    connection: sa.Connection,
    _stamp: datetime,
    *,
    cell: Cell,
    plan: Plan,
    strangers: bool,
    uuids: Sequence[str],
    changed: set[str],
) -> Counter[str]:
    """Delete mappings of instances that are gone, and count them.

    nova's archive deletes the instance first and its mapping afterwards, and a batch
    that read the instance before may insert the mapping after both. Those are ours,
    and queued for deletion, since nova archives nothing else. With *strangers* all
    others go too, unless they may be in flight.

    The mappings are locked, and only then is the cell asked, so that no decision is
    older than the lock.
    """
    locked = lock(connection, cell, plan, uuids)
    # A mapping in another spelling serves its instance if the index takes the two
    # uuids for equal.
    fold = cell.api.fold
    rows = cell.database.read_soon(select_present(cell, uuids))
    here = {fold(row[0]) for row in rows}
    building = decide.find_build_requests(cell.api, uuids) if strangers else {}
    gone = {
        row.id: row.instance_uuid
        for row in locked
        if row.instance_uuid in uuids
        and fold(row.instance_uuid) not in here
        and ((row.ours and row.queued) or (strangers and settled(cell, row, building)))
    }
    changed.clear()
    changed.update(gone.values())
    if gone:
        connection.execute(
            sa.delete(instance_mappings).where(instance_mappings.c.id.in_(gone))
        )
    return Counter({REMOVED: len(gone)})


def elsewhere(cell: Cell, found: Sequence[Difference]) -> list[Difference]:
    """Return those of the orphans that another cell has, or may have, and why.

    Their mapping is wrong, and yet the only place that has their flag and user; the
    upgrade or repair of that cell moves it, but not to a hidden copy: nova hides one of
    the two copies of a cross-cell resize, and destroys it at the end.
    """
    uuids = [difference.uuid for difference in found]
    kept: dict[str, Difference] = {}
    hidden: dict[str, Difference] = {}
    for number, other in cell.cells.items():
        if number == cell.mapping.id or not uuids:
            continue
        copies = cell.others.copies(number, uuids)
        for difference in found:
            copy = copies[difference.uuid]
            if copy is Copy.HIDDEN:
                why = f"last copy, hidden in {other}: see docs/troubleshooting.rst"
                only = replace(difference, kind=Kind.ONLY_HIDDEN, why=why)
                hidden.setdefault(difference.uuid, only)
            elif copy is not Copy.ABSENT:
                why = f"{copy.value} in {other}; upgrade or repair that cell"
                kept.setdefault(difference.uuid, replace(difference, why=why))
    return list((hidden | kept).values())


def must_stay(cell: Cell, found: Sequence[Difference]) -> list[Difference]:
    """Return the orphans that a repair must leave, each with the reason."""
    left = elsewhere(cell, found)
    known = {each.uuid for each in left}
    return left + unsettled(cell, [each for each in found if each.uuid not in known])


def kept(cell: Cell, plan: Plan, found: Sequence[Difference]) -> list[Difference]:
    """Return the orphans that an upgrade must leave: all but ours that are queued."""
    rows = cell.api.read(
        sa.select(instance_mappings.c.instance_uuid).where(
            instance_mappings.c.instance_uuid.in_([each.uuid for each in found]),
            inserted_by(cell.mapping),
            queued(plan),
        )
    )
    ours = {row[0] for row in rows}
    left = [difference for difference in found if difference.uuid not in ours]
    return left + elsewhere(cell, [each for each in found if each.uuid in ours])


def not_queued(plan: Plan) -> sa.ColumnElement[bool]:
    """Return SQL that is true of mappings whose instance nova does not delete.

    It is true of all mappings where the API schema has no such flag (before Rocky).
    """
    if "queued_for_delete" not in plan.columns:
        return sa.true()
    flag = instance_mappings.c.queued_for_delete
    return sa.not_(sa.func.coalesce(flag, sa.false()))


def queued(plan: Plan) -> sa.ColumnElement[bool]:
    """Return SQL that is true of mappings that may be queued for deletion."""
    has_flag = "queued_for_delete" in plan.columns
    return sa.not_(not_queued(plan)) if has_flag else sa.true()


def lock(
    connection: sa.Connection, cell: Cell, plan: Plan, uuids: Sequence[str]
) -> Sequence[Any]:
    """Lock the mappings to this cell, and return them; *ours* says who made each."""
    return connection.execute(
        sa.select(
            instance_mappings.c.id,
            instance_mappings.c.instance_uuid,
            instance_mappings.c.created_at,
            instance_mappings.c.updated_at,
            inserted_by(cell.mapping).label("ours"),
            queued(plan).label("queued"),
        )
        .where(
            instance_mappings.c.instance_uuid.in_(uuids),
            instance_mappings.c.cell_id == cell.mapping.id,
        )
        .with_for_update()
    ).all()


def select_present(cell: Cell, uuids: Sequence[str]) -> sa.Select[tuple[str]]:
    """Return the SELECT of the instances that mappings of *uuids* may serve."""
    spellings = cell.api.fold.spellings(uuids)
    return sa.select(instances.c.uuid).where(instances.c.uuid.in_(spellings))
