"""Map every instance of the cell."""

from cellmap_migrations import (
    Cell,
    deleted_or_soft_deleted,
    map_instances,
    unmap_instances,
)

revision = "0001"
down_revision = None
# A downgrade past this revision needs remove_mappings=yes.
removes_mappings = True


def upgrade(cell: Cell) -> None:
    """Give each instance of the cell its row in ``instance_mappings``."""
    map_instances(
        cell,
        revision,
        columns={
            "project_id": "project_id",
            "user_id": "user_id",
            "queued_for_delete": deleted_or_soft_deleted,
            "created_at": "created_at",
        },
    )


def downgrade(cell: Cell) -> None:
    """Remove the mappings that this revision inserted, unless they were changed."""
    unmap_instances(cell, revision)
