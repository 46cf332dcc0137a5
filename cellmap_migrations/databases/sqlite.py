"""Implement the backend of SQLite, which is for trials and for tests."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import sqlalchemy as sa

from cellmap_migrations.databases import arguments, codes
from cellmap_migrations.databases.base import Backend
from cellmap_migrations.databases.status import Identity, Status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cellmap_migrations.databases.base import Version


class SQLiteStatus(Status):
    """Identify a file. SQLite has no load and no replicas."""

    def identity(self, connection: sa.Connection) -> Identity:
        """Return device and inode of the file, which are the same for all its paths."""
        rows = connection.exec_driver_sql("PRAGMA database_list").all()
        path = Path(next(row[2] for row in rows if row[1] == "main")).resolve()
        found = path.stat()
        return Identity(name=f"file {path}", key=f"{found.st_dev}:{found.st_ino}")


PRIMARY_CODE = 0xFF

# KiB of cache for each connection. One batch changes more index pages than the default
# of 2 MiB holds, because the uuids are in random order.
CACHE = 24 << 10

# Lines that are split at a time, to limit the memory.
LINES = 1_000


class Checksum:
    """Sum up MD5s for SQLite. The result is text, because it may exceed 64 bits."""

    def __init__(self) -> None:
        self.total = 0

    def step(self, text: str) -> None:
        """Add the first 60 bits of the SHA-256 of *text*."""
        self.total += int(hashlib.sha256(text.encode()).hexdigest()[:15], 16)

    def finalize(self) -> str:
        """Return the sum in decimal digits."""
        return str(self.total)


class OwnChecksum(Checksum):
    """Sum up Python's hashes, which are valid in this process only."""

    def step(self, text: str) -> None:
        """Add the hash of *text*."""
        self.total += hash(text)


def converted(kind: sa.types.TypeEngine[Any], dialect: sa.Dialect, value: Any) -> Any:
    """Return *value* as SQLAlchemy would pass it to the driver."""
    process = kind.dialect_impl(dialect).bind_processor(dialect)
    return process(value) if process else value


class SQLite(Backend):
    """Connect with Python's sqlite3; error codes are primary result codes."""

    drivernames = ("sqlite", "sqlite+pysqlite")
    package = "a Python with sqlite3"
    status = SQLiteStatus()
    arguments = arguments.SQLITE
    refusals = codes.SQLITE
    transient = frozenset({5, 6, 10, 13})  # BUSY, LOCKED, IOERR, FULL
    refused = codes.SQLITE_REFUSED
    works_by_itself = False
    # A commit rewrites most pages of the indexes on uuid, even for few rows. Batches of
    # 0.5 s and 10,000 rows would double the time of a copy.
    batch_seconds = 1.5
    batch_rows = 25_000

    def engine(
        self,
        url: sa.URL,
        *,
        parameters: str,  # noqa: ARG002 - a file has no connection parameters
        read_only: bool,
    ) -> sa.Engine:
        """Return an engine that never creates the file and reads without a lock."""
        # Not oslo.db's engine, which begins a transaction even in AUTOCOMMIT. A
        # transaction that has read prevents every commit to the file.
        engine = sa.create_engine(self.bounded(url), poolclass=sa.NullPool)
        self.limit(engine, read_only=read_only)
        return engine

    def server(
        self,
        entry: sa.pool.ManagesConnection,  # noqa: ARG002
    ) -> tuple[str, Version]:
        """Return the version of the library, which is the server here."""
        return "SQLite", sqlite3.sqlite_version_info

    def bounded(self, url: sa.URL) -> sa.URL:
        """Add a mode in which SQLite does not create a missing file."""
        path = url.database or ""
        if url.query.get("uri") and path.startswith("file:"):
            path = unquote(path.removeprefix("file:"))
        mode = "ro" if url.query.get("mode") == "ro" else "rw"
        # Quoted, because SQLite would ignore the mode after a # in the path.
        return url.set(database=f"file:{quote(path)}").update_query_dict(
            {"mode": mode, "uri": "true"}
        )

    def limit(self, engine: sa.Engine, *, read_only: bool) -> None:
        """Let each connection wait 1 s for a lock, and refuse writes if *read_only*."""

        @sa.event.listens_for(engine, "connect")
        def connected(connection: Any, _: Any) -> None:
            connection.execute("PRAGMA busy_timeout = 1000")
            # A reader reads each page once, and needs no cache.
            if not read_only:
                connection.execute(f"PRAGMA cache_size = -{CACHE}")
            connection.create_aggregate("cellmap_checksum", 1, Checksum)
            connection.create_aggregate("cellmap_own_checksum", 1, OwnChecksum)
            connection.execute(f"PRAGMA query_only = {'ON' if read_only else 'OFF'}")

    def checksum(self, text: sa.ColumnElement[str]) -> sa.ColumnElement[Any]:
        """Add up the first 15 hex digits of each SHA-256, which SQLite lacks."""
        return sa.func.cellmap_checksum(text)

    def own_checksum(self, text: sa.ColumnElement[str]) -> sa.ColumnElement[Any]:
        """Add up Python's hashes: this process reads both files."""
        return sa.func.cellmap_own_checksum(text)

    def insert_lines(
        self,
        connection: sa.Connection,
        table: sa.Table,
        columns: Sequence[str],
        lines: str,
        constants: Mapping[str, Any],
    ) -> None:
        """Split the lines in Python. Column affinity converts digits to numbers."""
        names = [*columns, *constants]
        same = tuple(
            converted(table.c[name].type, connection.dialect, value)
            for name, value in constants.items()
        )
        marks = ", ".join("?" for _ in names)
        sql = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({marks})"  # noqa: S608 - names of this package's
        rows = lines.split("\n")
        for start in range(0, len(rows), LINES):
            some = rows[start : start + LINES]
            values = [(*line.split("\t"), *same) for line in some]
            connection.exec_driver_sql(sql, values)

    def code(self, error: BaseException) -> Any:
        """Return the primary result code; Python 3.10 has only the message."""
        extended = getattr(error, "sqlite_errorcode", None)
        if extended is not None:
            return extended & PRIMARY_CODE
        words = {"locked": 5, "full": 13, "readonly": 8, "unable to open": 14}
        words["not a database"] = 26
        return next((words[word] for word in words if word in str(error)), None)
