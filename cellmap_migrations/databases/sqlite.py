"""Describe SQLite, which is for trying things out and for tests."""

from __future__ import annotations

import hashlib
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
    """A file has no load and no replicas, but it may have several paths."""

    def identity(self, connection: sa.Connection) -> Identity:
        """Return the file itself, whether a path, a link or a second name led to it."""
        rows = connection.exec_driver_sql("PRAGMA database_list").all()
        path = Path(next(row[2] for row in rows if row[1] == "main")).resolve()
        found = path.stat()
        return Identity(name=f"file {path}", key=f"{found.st_dev}:{found.st_ino}")


PRIMARY_CODE = 0xFF

# KiB of the file that a connection keeps. SQLite's 2 MiB do not hold the pages of an
# index that one batch changes, since uuids come in no order.
CACHE = 24 << 10

# Lines that are taken apart at a time.
LINES = 1_000


class Checksum:
    """The aggregate that SQLite calls; its result is text, as 64 bits may not do."""

    def __init__(self) -> None:
        self.total = 0

    def step(self, text: str) -> None:
        """Take in one row."""
        digest = hashlib.md5(text.encode(), usedforsecurity=False)
        self.total += int(digest.hexdigest()[:15], 16)

    def finalize(self) -> str:
        """Return the sum in decimal digits."""
        return str(self.total)


class OwnChecksum(Checksum):
    """The same, with the hash that Python has for a text in this process only."""

    def step(self, text: str) -> None:
        """Take in one row."""
        self.total += hash(text)


def converted(kind: sa.types.TypeEngine[Any], dialect: sa.Dialect, value: Any) -> Any:
    """Return *value* as SQLAlchemy writes it where it makes the statement."""
    process = kind.dialect_impl(dialect).bind_processor(dialect)
    return process(value) if process else value


class SQLite(Backend):
    """Through Python's sqlite3; error codes are SQLite's primary result codes."""

    drivernames = ("sqlite", "sqlite+pysqlite")
    package = "a Python with sqlite3"
    status = SQLiteStatus()
    arguments = arguments.SQLITE
    refusals = codes.SQLITE
    again = frozenset({5, 6, 10, 13})  # BUSY, LOCKED, IOERR, FULL
    refused = codes.SQLITE_REFUSED
    works_by_itself = False
    # A commit writes nearly every page of the indexes on uuid, however few its rows.
    # With half a second and 10,000 rows for each a copy takes twice as long.
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
        # Not oslo.db's: that one begins a transaction even in AUTOCOMMIT, and a
        # transaction that has read keeps every writer of the file from committing.
        engine = sa.create_engine(self.bounded(url), poolclass=sa.NullPool)
        self.limit(engine, read_only=read_only)
        return engine

    def bounded(self, url: sa.URL) -> sa.URL:
        """Open the file as it is: a mistyped path must not leave an empty database."""
        path = url.database or ""
        if url.query.get("uri") and path.startswith("file:"):
            path = unquote(path.removeprefix("file:"))
        mode = "ro" if url.query.get("mode") == "ro" else "rw"
        # Quoted, or the mode would be in what SQLite ignores after a # in the path.
        return url.set(database=f"file:{quote(path)}").update_query_dict(
            {"mode": mode, "uri": "true"}
        )

    def limit(self, engine: sa.Engine, *, read_only: bool) -> None:
        """Let each connection wait 1 s for a lock, and refuse writes if *read_only*."""

        @sa.event.listens_for(engine, "connect")
        def connected(connection: Any, _: Any) -> None:
            connection.execute("PRAGMA busy_timeout = 1000")
            # Who reads goes through the file once.
            if not read_only:
                connection.execute(f"PRAGMA cache_size = -{CACHE}")
            connection.create_aggregate("cellmap_checksum", 1, Checksum)
            connection.create_aggregate("cellmap_own_checksum", 1, OwnChecksum)
            connection.execute(f"PRAGMA query_only = {'ON' if read_only else 'OFF'}")

    def checksum(self, text: sa.ColumnElement[str]) -> sa.ColumnElement[Any]:
        """Add up the first 15 hex digits of each MD5, which SQLite lacks."""
        return sa.func.cellmap_checksum(text)

    def own_checksum(
        self,
        text: sa.ColumnElement[str],
        oldest: Version,  # noqa: ARG002
    ) -> sa.ColumnElement[Any]:
        """Add up the hashes that Python has anyway: both files are read by it."""
        return sa.func.cellmap_own_checksum(text)

    def insert_lines(
        self,
        connection: sa.Connection,
        table: sa.Table,
        columns: Sequence[str],
        lines: str,
        constants: Mapping[str, Any],
    ) -> None:
        """Split the lines here; the file's types make numbers of digits."""
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
        """Return the primary result code, which Python knows since 3.11."""
        extended = getattr(error, "sqlite_errorcode", None)
        if extended is not None:
            return extended & PRIMARY_CODE
        words = {"locked": 5, "full": 13, "readonly": 8, "unable to open": 14}
        words["not a database"] = 26
        return next((words[word] for word in words if word in str(error)), None)
