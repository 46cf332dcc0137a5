"""${message}."""

from cellmap_migrations import Cell

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade(cell: Cell) -> None:
    """Say what is true of the cell's mappings afterwards.

    A run may be killed and repeated: the operations resume by themselves.
    """


def downgrade(cell: Cell) -> None:
    """Say what is taken back, and what is left."""
