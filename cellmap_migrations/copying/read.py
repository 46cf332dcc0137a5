"""Read instances of the cell: short statements, each in its own transaction."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations.outcomes import Instance
from cellmap_migrations.schema import instances

# nova.compute.task_states.RESTORING
RESTORING = "restoring"

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellmap_migrations.copying.plans import Plan
    from cellmap_migrations.databases import Database


def highest_id(cell: Database) -> int:
    """Return the largest ``instances.id``, or 0 in an empty cell."""
    return int(
        cell.read(sa.select(sa.func.coalesce(sa.func.max(instances.c.id), 0)))[0][0]
    )


def after(
    cell: Database, plan: Plan, after_id: int, *, bound: int, rows: int
) -> list[Instance]:
    """Return up to *rows* instances after *after_id*, by id, none beyond *bound*."""
    return fetch(
        cell,
        plan,
        statement(plan)
        .where(instances.c.id > after_id, instances.c.id <= bound)
        .order_by(instances.c.id)
        .limit(rows),
    )


def by_ids(cell: Database, plan: Plan, ids: Sequence[int]) -> list[Instance]:
    """Return those of the instances that are still there."""
    return fetch(cell, plan, statement(plan).where(instances.c.id.in_(ids)))


def by_uuids(cell: Database, plan: Plan, uuids: Sequence[str]) -> list[Instance]:
    """Return the instances with these uuids, as the cell's server compares them."""
    return fetch(cell, plan, statement(plan).where(instances.c.uuid.in_(uuids)))


def live(cell: Database, plan: Plan, rows: int) -> list[Instance]:
    """Return up to *rows* instances that are not deleted, the oldest first."""
    return fetch(
        cell,
        plan,
        statement(plan)
        .where(instances.c.deleted == 0)
        .order_by(instances.c.id)
        .limit(rows),
    )


def statement(plan: Plan) -> sa.Select[Any]:
    """Return the SELECT of everything the rules and the columns of *plan* need."""
    return sa.select(
        instances.c.id,
        instances.c.uuid,
        instances.c.created_at.label("instance_created_at"),
        sa.func.coalesce(instances.c.deleted, 0).label("deleted"),
        plan.hidden.label("hidden"),
        (sa.func.coalesce(instances.c.task_state, "") == RESTORING).label("restoring"),
        *(source.label(name) for name, source in plan.columns.items()),
    )


def fetch(cell: Database, plan: Plan, select: sa.Select[Any]) -> list[Instance]:
    """Return the rows of *select* as instances."""
    names = tuple(plan.columns)
    return [
        Instance(
            id=row[0],
            uuid=row[1],
            created_at=row[2] if isinstance(row[2], datetime) else None,
            deleted=row[3] != 0,
            hidden=bool(row[4]),
            restoring=bool(row[5]),
            values=dict(zip(names, row[6:], strict=True)),
        )
        for row in cell.read(select)
    ]
