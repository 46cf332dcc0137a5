"""Name the execution options of connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlalchemy as sa


# Set on a connection that only reads, either tables or the server's status.
READING = "cellmap_reading"

TABLES, STATUS = "tables", "status"


def autocommits(connection: sa.Connection) -> bool:
    """Return True if each statement on *connection* is a transaction of its own."""
    return connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT"
