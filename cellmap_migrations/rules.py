"""What a version script can say about a column beyond naming the cell's own."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

SOFT_DELETED = "soft-delete"


def deleted_or_soft_deleted(instances: sa.Table) -> sa.ColumnElement[Any]:
    """Return the SQL that says when nova would have queued an instance for deletion.

    nova's populate_queued_for_delete (18.0.0) derives the flag in the same way.
    ``deleted`` is the row's own id once it is deleted, and may be NULL.
    """
    return sa.or_(
        sa.func.coalesce(instances.c.deleted, 0) != 0,
        sa.func.coalesce(instances.c.vm_state, "") == SOFT_DELETED,
    )
