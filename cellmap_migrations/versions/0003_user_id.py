"""Fill in the user_id of mappings from the cell.

nova added the column in 19.0.0. Its populate_user_id stops at the first 50 rows that
cannot be filled, and never ends if an instance has no user.
"""

from cellmap_migrations import Cell, forget, reconcile

revision = "0003"
down_revision = "0002"


def upgrade(cell: Cell) -> None:
    """Set the user_id of each mapping to that of its instance."""
    reconcile(cell, revision, "user_id", "user_id", before=down_revision)


def downgrade(cell: Cell) -> None:
    """Let the next upgrade do this revision again. No user_id is changed."""
    forget(cell, revision)
