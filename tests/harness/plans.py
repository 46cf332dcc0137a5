"""Make the plan of the first revision."""

from cellmap_migrations import Cell, deleted_or_soft_deleted
from cellmap_migrations.copying.plan import ColumnSource, Plan, make_plan


def plan_of(cell: Cell) -> Plan:
    """Return the plan of 0001."""
    columns: dict[str, ColumnSource] = {
        "project_id": "project_id",
        "user_id": "user_id",
        "queued_for_delete": deleted_or_soft_deleted,
        "created_at": "created_at",
    }
    return make_plan(cell, columns)
