"""Read instances of the cell by short statements, each in its own transaction."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations.common.sentences import NotACellDatabase
from cellmap_migrations.databases.among import read_among
from cellmap_migrations.databases.codes import Fault
from cellmap_migrations.nova.rules import Instance
from cellmap_migrations.nova.tables import instances

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellmap_migrations.copying.plan import Plan
    from cellmap_migrations.databases.database import Database


# The largest id, or 0 in an empty cell.
HIGHEST_ID = sa.select(sa.func.coalesce(sa.func.max(instances.c.id), 0))


def highest_id(database: Database) -> int:
    """Return the largest ``instances.id``, or 0 in an empty cell."""
    return int(database.read(HIGHEST_ID)[0][0])


def highest_id_once(database: Database) -> int:
    """Return the largest ``instances.id``, or 0, without retries.

    Raises NotACellDatabase if there is no table ``instances``.
    """
    try:
        return int(database.read_once(HIGHEST_ID)[0][0])
    except database.errors as error:
        other = database.backend.fault(error) is Fault.OTHER
        if other and not database.columns_once(instances):
            missing = f"table {instances.name}"
            raise NotACellDatabase(database=database.what, missing=missing) from error
        raise


def nth_id(
    database: Database,
    after_id: int,
    *,
    bound: int,
    rows: int,
    ids: sa.ColumnElement[int] = instances.c.id,
    counted: sa.ColumnElement[bool] | None = None,
) -> int | None:
    """Return the id of the last of *rows* rows after *after_id*, or None for fewer.

    The rows are instances, or rows of the table whose ids are *ids*; only rows of which
    *counted* is true. A statement of its own, because MariaDB reads to the end of the
    table if a subquery is the end of a range.
    """
    select = sa.select(ids).where(ids > after_id, ids <= bound)
    if counted is not None:
        select = select.where(counted)
    row = database.read(select.order_by(ids).limit(1).offset(rows - 1))
    return int(row[0][0]) if row else None


def between(
    database: Database,
    plan: Plan,
    after_id: int,
    upto_id: int,
    where: sa.ColumnElement[bool],
) -> list[Instance]:
    """Return the instances with ``after_id < id <= upto_id``, in the order of ids.

    Only instances of which the SQL *where* is true.
    """
    some = select_instances(plan).where(
        instances.c.id > after_id, instances.c.id <= upto_id, where
    )
    return as_instances(plan, database.read(some.order_by(instances.c.id)))


def by_ids(database: Database, plan: Plan, ids: Sequence[int]) -> list[Instance]:
    """Return the instances *ids*; a deleted row is left out."""
    rows = read_among(database.read, select_instances(plan), instances.c.id, ids)
    return as_instances(plan, rows)


def by_uuids(database: Database, plan: Plan, uuids: Sequence[str]) -> list[Instance]:
    """Return the instances *uuids*, as the cell's server compares uuids."""
    rows = read_among(database.read, select_instances(plan), instances.c.uuid, uuids)
    return as_instances(plan, rows)


def oldest_live(database: Database, plan: Plan, rows: int) -> list[Instance]:
    """Return up to *rows* instances that are not deleted, the oldest first."""
    live = select_instances(plan).where(instances.c.deleted == 0)
    oldest = live.order_by(instances.c.id).limit(rows)
    return as_instances(plan, database.read(oldest))


# nova.compute.vm_states.BUILDING and nova.compute.task_states.RESTORING
BUILDING, RESTORING = "building", "restoring"


def select_instances(plan: Plan) -> sa.Select[Any]:
    """Return the SELECT of the columns that the rules and the *plan* need."""
    return sa.select(
        instances.c.id,
        instances.c.uuid,
        instances.c.created_at.label("instance_created_at"),
        sa.func.coalesce(instances.c.deleted, 0).label("deleted"),
        plan.hidden.label("hidden"),
        (sa.func.coalesce(instances.c.vm_state, "") == BUILDING).label("building"),
        is_restoring().label("restoring"),
        *(source.label(name) for name, source in plan.columns.items()),
    )


def is_restoring() -> sa.ColumnElement[bool]:
    """Return SQL that is true of an instance while nova restores it."""
    return sa.func.coalesce(instances.c.task_state, "") == RESTORING


def as_instances(plan: Plan, rows: Sequence[Any]) -> list[Instance]:
    """Convert *rows* of ``select_instances`` to instances."""
    names = tuple(plan.columns)
    return [
        Instance(
            id=row[0],
            uuid=row[1],
            created_at=time_of(row[2]),
            deleted=row[3] != 0,
            hidden=bool(row[4]),
            building=bool(row[5]),
            restoring=bool(row[6]),
            values={
                name: time_of(value) if name == "created_at" else value
                for name, value in zip(names, row[7:], strict=True)
            },
        )
        for row in rows
    ]


def time_of(value: Any) -> datetime | None:
    """Return *value* if it is a datetime, else None.

    PyMySQL returns '0000-00-00 00:00:00' as str.
    """
    return value if isinstance(value, datetime) else None
