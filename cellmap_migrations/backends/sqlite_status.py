"""The identity of an SQLite file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cellmap_migrations.backends.status import Identity, Status

if TYPE_CHECKING:
    import sqlalchemy as sa


class SQLiteStatus(Status):
    """A file has no load and no replicas, but it may have several paths."""

    def identity(self, connection: sa.Connection) -> Identity:
        """Return the file itself, whether a path, a link or a second name led to it."""
        rows = connection.exec_driver_sql("PRAGMA database_list").all()
        path = Path(next(row[2] for row in rows if row[1] == "main")).resolve()
        found = path.stat()
        return Identity(name=f"file {path}", key=f"{found.st_dev}:{found.st_ino}")
