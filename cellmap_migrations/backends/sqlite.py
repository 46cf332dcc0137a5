"""SQLite, for trying things out."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import sqlalchemy as sa

from cellmap_migrations.backends.base import Backend

if TYPE_CHECKING:
    from collections.abc import Callable

PRIMARY_CODE = 0xFF


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


class SQLite(Backend):
    """Through Python's sqlite3; error codes are SQLite's primary result codes."""

    drivernames = ("sqlite", "sqlite+pysqlite")
    package = "a Python with sqlite3"
    again = frozenset({5, 6, 10, 13})  # BUSY, LOCKED, IOERR, FULL
    rights = frozenset({3, 8, 23})  # PERM, READONLY, AUTH
    missing = frozenset({14})  # CANTOPEN

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
        sa.event.listen(engine, "connect", self.session(read_only=read_only))
        return engine

    def bounded(self, url: sa.URL) -> sa.URL:
        """Open the file as it is: a mistyped path must not leave an empty database."""
        if url.query.get("uri"):
            return url
        return url.set(database=f"file:{quote(url.database or '')}").update_query_dict(
            {"mode": "rw", "uri": "true"}
        )

    def session(self, *, read_only: bool) -> Callable[[Any, Any], None]:
        """Wait a second for a lock; refuse writes where nothing is to be written."""

        def limit(connection: Any, _: Any) -> None:
            connection.execute("PRAGMA busy_timeout = 1000")
            connection.create_aggregate("cellmap_checksum", 1, Checksum)
            connection.execute(f"PRAGMA query_only = {'ON' if read_only else 'OFF'}")

        return limit

    def checksum(self, text: sa.ColumnElement[str]) -> sa.ColumnElement[Any]:
        """Add up the first 15 hex digits of each MD5, which SQLite lacks."""
        return sa.func.cellmap_checksum(text)

    def code(self, error: BaseException) -> Any:
        """Return the primary result code, which Python knows since 3.11."""
        extended = getattr(error, "sqlite_errorcode", None)
        if extended is not None:
            return extended & PRIMARY_CODE
        words = {"locked": 5, "full": 13, "readonly": 8, "unable to open": 14}
        return next((words[word] for word in words if word in str(error)), None)
