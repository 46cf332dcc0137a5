"""Remove orphans, and decide which must stay: mappings whose instance is gone."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations.bookkeeping import journal
from cellmap_migrations.bookkeeping.tables import REMOVED
from cellmap_migrations.comparing.differences import Kind, orphan
from cellmap_migrations.copying import decide, read, write
from cellmap_migrations.databases.among import read_among, reader
from cellmap_migrations.nova.rules import Copy
from cellmap_migrations.nova.tables import instance_mappings, instances, utcnow

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from cellmap_migrations.cell.cell import Cell
    from cellmap_migrations.comparing.differences import Difference
    from cellmap_migrations.copying.plan import Plan
    from cellmap_migrations.databases.among import Read


def remove_orphans(
    connection: sa.Connection,
    _stamp: datetime,
    *,
    cell: Cell,
    plan: Plan,
    include_foreign: bool,
    uuids: Sequence[str],
    mended: list[Difference],
) -> Counter[str]:
    """Delete mappings whose instance is gone; return their count.

    nova's archive deletes an instance before its mapping, and a batch that has read the
    instance may insert the mapping after both. This package inserted such a mapping,
    and it is queued for deletion, because nova archives only deleted instances. With
    *include_foreign* all other orphans are deleted too, unless nova may be at work on
    them.

    The mappings are locked before the cell is read, so no decision is older than the
    lock. *mended* becomes the list of the deleted mappings.
    """
    locked = lock_mappings(connection, cell, plan, uuids)
    # A mapping in another spelling serves its instance if the index takes the two
    # uuids for equal.
    fold, database = cell.api.fold, cell.database
    here = database.holding_locks(lambda: present(cell, database.read_once, uuids))
    requests = decide.find_build_requests(cell.api, uuids) if include_foreign else {}
    asked = {*uuids}
    gone = {
        row.id: row.instance_uuid
        for row in locked
        if row.instance_uuid in asked
        and fold(row.instance_uuid) not in here
        and (
            (row.ours and row.queued)
            or (include_foreign and is_settled(cell, row, requests))
        )
    }
    mended[:] = map(orphan, gone.values())
    write.change(
        connection, sa.delete(instance_mappings), instance_mappings.c.id, [*gone]
    )
    return Counter({REMOVED: len(gone)})


def lock_mappings(
    connection: sa.Connection, cell: Cell, plan: Plan, uuids: Sequence[str]
) -> Sequence[Any]:
    """Lock the mappings of *uuids* to this cell, and return them.

    The field *ours* is true of a mapping that this package inserted.
    """
    table = instance_mappings.c
    select = (
        sa.select(
            table.id,
            table.instance_uuid,
            table.created_at,
            table.updated_at,
            journal.inserted_by(cell.mapping).label("ours"),
            queued(plan).label("queued"),
        )
        .where(table.cell_id == cell.mapping.id)
        .with_for_update()
    )
    return read_among(reader(connection), select, table.instance_uuid, uuids)


def kept_by_upgrade(
    cell: Cell, plan: Plan, orphans: Sequence[Difference]
) -> list[Difference]:
    """Return the orphans that an upgrade must leave.

    It removes only mappings that this package inserted and that are queued for
    deletion.
    """
    ours = ours_of_archived(cell, plan, orphans)
    foreign = [each for each in orphans if each.uuid not in ours]
    return foreign + kept_for_others(
        cell, [each for each in orphans if each.uuid in ours]
    )


def kept_by_repair(
    cell: Cell, plan: Plan, orphans: Sequence[Difference]
) -> list[Difference]:
    """Return the orphans that a repair must leave, each with the reason.

    It removes at once what an upgrade removes: nova is not at work on such a mapping.
    """
    kept = kept_for_others(cell, orphans)
    others = {each.uuid for each in kept}
    young = kept_for_nova(cell, [each for each in orphans if each.uuid not in others])
    ours = ours_of_archived(cell, plan, young)
    return kept + [each for each in young if each.uuid not in ours]


def ours_of_archived(cell: Cell, plan: Plan, orphans: Sequence[Difference]) -> set[str]:
    """Return the orphans that this package inserted and that are queued for deletion.

    nova archived their instances.
    """
    if not orphans or not journal.exists(cell.api):
        return set()
    uuid = instance_mappings.c.instance_uuid
    select = sa.select(uuid).where(journal.inserted_by(cell.mapping), queued(plan))
    uuids = [each.uuid for each in orphans]
    return {row[0] for row in read_among(cell.api.read, select, uuid, uuids)}


def kept_for_others(cell: Cell, orphans: Sequence[Difference]) -> list[Difference]:
    """Return the orphans whose instance another cell has or may have, with the reason.

    Such a mapping has the wrong cell, but no other row has its flag and its user. The
    upgrade or repair of the other cell moves it, though not to a hidden copy: nova
    hides one of the two copies of a cross-cell resize, and destroys it at the end.
    """
    uuids = [difference.uuid for difference in orphans]
    present: dict[str, Difference] = {}
    hidden: dict[str, Difference] = {}
    for number, other in cell.cells.items():
        if number == cell.mapping.id or not uuids:
            continue
        copies = cell.others.copies(number, uuids)
        for difference in orphans:
            copy = copies[difference.uuid]
            if copy is Copy.HIDDEN:
                why = f"last copy, hidden in {other}: see docs/troubleshooting.rst"
                only = replace(difference, kind=Kind.ONLY_HIDDEN, why=why)
                hidden.setdefault(difference.uuid, only)
            elif copy is not Copy.ABSENT:
                why = f"{copy.value} in {other}; upgrade or repair that cell"
                present.setdefault(difference.uuid, replace(difference, why=why))
    return list((hidden | present).values())


def kept_for_nova(cell: Cell, orphans: Sequence[Difference]) -> list[Difference]:
    """Return the orphans on which nova may be at work, each with the reason."""
    table = instance_mappings.c
    uuids = [difference.uuid for difference in orphans]
    if not uuids:
        return []
    select = sa.select(table.instance_uuid, table.created_at, table.updated_at)
    select = select.where(table.cell_id == cell.mapping.id)
    rows = read_among(cell.api.read, select, table.instance_uuid, uuids)
    requests = cell.api.retry(lambda: decide.find_build_requests(cell.api, uuids))
    rows_by_uuid = {row.instance_uuid: row for row in rows}
    return [
        replace(difference, why=why_kept(cell, row, requests))
        for difference in orphans
        if (row := rows_by_uuid.get(difference.uuid))
        and not is_settled(cell, row, requests)
    ]


def why_kept(cell: Cell, row: Any, requests: dict[str, int]) -> str:
    """Return the sentence that says why the mapping *row* is left, and until when."""
    if (request := requests.get(row.instance_uuid)) is not None:
        return f"nova has build request {request} for it; left until that is gone"
    return (
        f"its mapping is younger than grace_seconds ({cell.settings.grace_seconds}); "
        f"left until {end_of_grace(cell, row):%Y-%m-%d %H:%M:%S} UTC"
    )


def is_settled(cell: Cell, row: Any, requests: Collection[str]) -> bool:
    """Return True if nova is certainly not at work on the mapping *row*.

    *requests* are the uuids of instances that have a build request.
    """
    end = end_of_grace(cell, row)
    return (end is None or utcnow() >= end) and row.instance_uuid not in requests


def end_of_grace(cell: Cell, row: Any) -> datetime | None:
    """Return when ``grace_seconds`` end for the mapping *row*; None without times."""
    times = map(read.time_of, (row.created_at, row.updated_at))
    touched = max(filter(None, times), default=None)
    return touched and touched + timedelta(seconds=cell.settings.grace_seconds)


def queued(plan: Plan) -> sa.ColumnElement[bool]:
    """Return SQL that is true of mappings that are queued for deletion.

    It is true of all mappings if the API schema has no such flag (before Rocky).
    """
    has_flag = "queued_for_delete" in plan.columns
    return sa.not_(not_queued(plan)) if has_flag else sa.true()


def not_queued(plan: Plan) -> sa.ColumnElement[bool]:
    """Return SQL that is true of mappings that are not queued for deletion.

    It is true of all mappings if the API schema has no such flag (before Rocky).
    """
    if "queued_for_delete" not in plan.columns:
        return sa.true()
    flag = instance_mappings.c.queued_for_delete
    return sa.not_(sa.func.coalesce(flag, sa.false()))


def present(
    cell: Cell,
    read: Read,
    uuids: Sequence[str],
) -> set[str]:
    """Return the folded uuids of instances that mappings of *uuids* may serve.

    *read* is that of the cell's database.
    """
    fold, uuid = cell.api.fold, instances.c.uuid
    rows = read_among(read, sa.select(uuid), uuid, fold.spellings(uuids))
    return {fold(row[0]) for row in rows}
