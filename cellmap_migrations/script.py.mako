"""${message}."""

from cellmap_migrations import Cell

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade(cell: Cell) -> None:
    """Make ... of the cell's mappings agree with the cell.

    A run may be killed and repeated: each operation resumes by itself.
    """


def downgrade(cell: Cell) -> None:
    """Remove ... of the cell's mappings, and leave ... as it is."""
