"""Fill in the user_id of mappings from the cell.

nova added the column in 19.0.0; its populate_user_id never gets past 50 rows that
cannot be filled, and repeats for ever on an instance without a user.
"""

from cellmap_migrations import Cell, forget, reconcile

revision = "0003"
down_revision = "0002"


def upgrade(cell: Cell) -> None:
    """Give each mapping the user of its instance."""
    reconcile(cell, revision, "user_id", "user_id", before=down_revision)


def downgrade(cell: Cell) -> None:
    """Forget that it was done; a right user is right whoever set it."""
    forget(cell, revision)
