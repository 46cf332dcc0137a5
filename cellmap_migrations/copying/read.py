"""Read instances of the cell: short statements, each in its own transaction."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations.common.sentences import NotACellDatabase
from cellmap_migrations.databases.codes import Fault
from cellmap_migrations.nova.rules import Instance
from cellmap_migrations.nova.tables import instances

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellmap_migrations.copying.plan import Plan
    from cellmap_migrations.databases.database import Database


# nova.compute.vm_states.BUILDING and nova.compute.task_states.RESTORING
BUILDING, RESTORING = "building", "restoring"

# The largest id, or 0 in an empty cell.
HIGHEST_ID = sa.select(sa.func.coalesce(sa.func.max(instances.c.id), 0))


def highest_id(cell: Database) -> int:
    """Return the largest ``instances.id``, or 0 in an empty cell."""
    return int(cell.read(HIGHEST_ID)[0][0])


def highest_id_now(cell: Database) -> int:
    """Return the same, asked once; raise NotACellDatabase where there is no table."""
    try:
        return int(cell.read_once(HIGHEST_ID)[0][0])
    except cell.errors as error:
        if cell.backend.fault(error) is Fault.OTHER and not cell.columns_now(instances):
            raise NotACellDatabase(
                database=cell.what, missing=f"table {instances.name}"
            ) from error
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
    """Return the id of the last of *rows* rows behind *after_id*, or None for fewer.

    Of the instances, or of the table whose ids are *ids*, where *counted* is true.
    A statement of its own: MariaDB does not take the result of a subquery for the end
    of a range, and reads the table to its end.
    """
    select = sa.select(ids).where(ids > after_id, ids <= bound)
    if counted is not None:
        select = select.where(counted)
    found = database.read(select.order_by(ids).limit(1).offset(rows - 1))
    return int(found[0][0]) if found else None


def between(
    cell: Database,
    plan: Plan,
    after_id: int,
    upto_id: int,
    which: sa.ColumnElement[bool],
) -> list[Instance]:
    """Return the instances after one id, up to and with the other, by id."""
    return made(
        plan,
        cell.read(
            statement(plan)
            .where(instances.c.id > after_id, instances.c.id <= upto_id, which)
            .order_by(instances.c.id)
        ),
    )


def by_ids(cell: Database, plan: Plan, ids: Sequence[int]) -> list[Instance]:
    """Return those of the instances that are still there."""
    return made(plan, cell.read(statement(plan).where(instances.c.id.in_(ids))))


def by_uuids(cell: Database, plan: Plan, uuids: Sequence[str]) -> list[Instance]:
    """Return the instances with these uuids, as the cell's server compares them."""
    return made(plan, cell.read(statement(plan).where(instances.c.uuid.in_(uuids))))


def by_uuids_soon(cell: Database, plan: Plan, uuids: Sequence[str]) -> list[Instance]:
    """Return the same for a caller that holds locks; raise Changed if it takes long."""
    found = cell.read_soon(statement(plan).where(instances.c.uuid.in_(uuids)))
    return made(plan, found)


def live(cell: Database, plan: Plan, rows: int) -> list[Instance]:
    """Return up to *rows* instances that are not deleted, the oldest first."""
    return made(
        plan,
        cell.read(
            statement(plan)
            .where(instances.c.deleted == 0)
            .order_by(instances.c.id)
            .limit(rows)
        ),
    )


def statement(plan: Plan) -> sa.Select[Any]:
    """Return the SELECT of everything the rules and the columns of *plan* need."""
    return sa.select(
        instances.c.id,
        instances.c.uuid,
        instances.c.created_at.label("instance_created_at"),
        sa.func.coalesce(instances.c.deleted, 0).label("deleted"),
        plan.hidden.label("hidden"),
        (sa.func.coalesce(instances.c.vm_state, "") == BUILDING).label("building"),
        (sa.func.coalesce(instances.c.task_state, "") == RESTORING).label("restoring"),
        *(source.label(name) for name, source in plan.columns.items()),
    )


def made(plan: Plan, rows: Sequence[Any]) -> list[Instance]:
    """Return *rows* as instances."""
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
    """Return a time, or None for what is none: PyMySQL leaves 0000-00-00 a text."""
    return value if isinstance(value, datetime) else None
