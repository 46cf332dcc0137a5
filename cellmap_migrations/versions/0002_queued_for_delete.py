"""Make queued_for_delete agree with the cell.

nova's API migration 061 (18.0.0) set the flag of every existing mapping to false, and
map_instances still does so (18.2.0 and later). populate_queued_for_delete changes only
mappings whose flag is NULL.
"""

from cellmap_migrations import Cell, deleted_or_soft_deleted, forget, reconcile

revision = "0002"
down_revision = "0001"


def upgrade(cell: Cell) -> None:
    """Flag the mappings of deleted and soft-deleted instances."""
    reconcile(
        cell,
        revision,
        "queued_for_delete",
        deleted_or_soft_deleted,
        before=down_revision,
    )


def downgrade(cell: Cell) -> None:
    """Let the next upgrade do this revision again. No flag is changed."""
    forget(cell, revision)
