"""Describe PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BIT

from cellmap_migrations.databases import arguments, codes, postgresql_limits
from cellmap_migrations.databases.base import Backend, driver_error
from cellmap_migrations.databases.codes import Fault
from cellmap_migrations.databases.postgresql_status import PostgreSQLStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cellmap_migrations.databases.base import Version


# protocol_violation
POOLER = "08P01"


# The first with pg_read_all_stats, and the first with hashtextextended.
OLDEST, HASHES_SINCE = (10,), (11,)


def sum_of_hex(digest: sa.ColumnElement[str]) -> sa.ColumnElement[Any]:
    """Return SQL that adds up the first 15 hex digits of each *digest*."""
    digits = sa.func.concat("x0", sa.func.left(digest, 15))
    return sa.func.sum(sa.cast(sa.cast(digits, BIT(64)), sa.BigInteger))


def unbounded(column: sa.ColumnElement[Any]) -> Any:
    """Return the type of *column* without a length: a cast to one truncates."""
    return sa.Text() if isinstance(column.type, sa.String) else column.type


class PostgreSQL(Backend):
    """Through psycopg 3; error codes are SQLSTATEs."""

    port = 5432
    drivernames = ("postgresql+psycopg",)
    package = "cellmap-migrations[postgresql]"
    status = PostgreSQLStatus()
    refusals = codes.POSTGRESQL
    arguments = arguments.POSTGRESQL
    timeouts = ("connect_timeout",)
    again = codes.POSTGRESQL_AGAIN
    refused = codes.POSTGRESQL_REFUSED
    oldest: ClassVar = {"PostgreSQL": OLDEST}
    data = frozenset({"P0001"})  # RAISE in a trigger
    # As fast as with 10,000, and a server that somebody boots meanwhile waits less:
    # one in a hundred 20 ms, and not 22 to 28, where both cores are at work.
    batch_rows = 5_000

    def bounded(self, url: sa.URL) -> sa.URL:
        """Let a connection attempt take 5 s; notice a dead peer within 30 s."""
        limits = {
            "connect_timeout": "5",
            "keepalives_idle": "10",
            "keepalives_interval": "5",
            "keepalives_count": "4",
            "tcp_user_timeout": "30000",
        }
        return url.update_query_dict({**limits, **url.query})

    def limit(self, engine: sa.Engine, *, read_only: bool) -> None:
        """Bound lock waits, answers, and what a frozen client leaves open."""
        postgresql_limits.limit(engine, read_only=read_only)

    def server(self, driver: Any) -> tuple[str, Version]:
        """Return the version that the server said when the client logged in."""
        major, rest = divmod(int(driver.info.server_version), 10_000)
        # 90624 stands for 9.6.24, and 100023 for 10.23.
        minor = divmod(rest, 100) if (major,) < OLDEST else (rest,)
        return "PostgreSQL", (major, *minor)

    def checksum(self, text: sa.ColumnElement[str]) -> sa.ColumnElement[Any]:
        """Add up the first 15 hex digits of each MD5."""
        digits = sa.func.concat("x0", sa.func.left(sa.func.md5(text), 15))
        return sa.func.sum(sa.cast(sa.cast(digits, BIT(64)), sa.BigInteger))

    def own_checksum(
        self, text: sa.ColumnElement[str], oldest: Version
    ) -> sa.ColumnElement[Any]:
        """Add up the 64-bit hashes that hash partitions use, or MD5s (PostgreSQL 10).

        Should two releases differ in the hash, so do all chunks, and every row is
        compared.
        """
        if oldest < HASHES_SINCE:
            return sum_of_hex(sa.func.md5(text))
        # Under a nondeterministic collation texts that differ in case have one hash.
        exact = sa.collate(text, "C")
        return sa.func.sum(sa.func.hashtextextended(exact, sa.literal_column("0")))

    def insert(
        self,
        connection: sa.Connection,
        table: sa.Table,
        rows: Sequence[Mapping[str, Any]],
    ) -> None:
        """Insert *rows* by one statement, an array for each column.

        psycopg sends executemany as a pipeline, and a client that is frozen in the
        middle of one, or right after it, keeps its locks: the server arms
        idle_in_transaction_session_timeout only when it waits for a new command, and
        the Flush that ends a pipeline disarms it again (PostgreSQL 15, psycopg 3.3).
        """
        columns = [table.c[name] for name in rows[0]]
        arrays = []
        for column in columns:
            values = [row[column.name] for row in rows]
            kind = ARRAY(unbounded(column))
            arrays.append(sa.func.unnest(sa.bindparam(column.name, values, kind)))
        connection.execute(sa.insert(table).from_select(columns, sa.select(*arrays)))

    def insert_lines(
        self,
        connection: sa.Connection,
        table: sa.Table,
        columns: Sequence[str],
        lines: str,
        constants: Mapping[str, Any],
    ) -> None:
        """Let the server split the lines, which are one parameter.

        Not COPY: the server waits for ever for the rest of one, locks held, when its
        client is frozen in the middle; no timeout of its own ends that wait.
        """
        text = sa.bindparam("lines", type_=sa.Text())
        # string_to_table does the same in one function, since PostgreSQL 14.
        lines_of = sa.func.string_to_array(text, "\n")
        line = sa.func.unnest(lines_of).column_valued("line")
        fields = [
            sa.cast(sa.func.split_part(line, "\t", number), unbounded(table.c[name]))
            for number, name in enumerate(columns, start=1)
        ]
        same = [
            sa.literal(value, table.c[name].type) for name, value in constants.items()
        ]
        insert = sa.insert(table).from_select(
            [*columns, *constants], sa.select(*fields, *same)
        )
        # Not in the statement: that is in cycles, and would keep the lines in memory
        # until Python collects those.
        connection.execute(insert, {"lines": lines})

    def fault(self, error: BaseException) -> Fault:
        """Return what *error* means; without a SQLSTATE it is a failure to connect."""
        inner = driver_error(error)
        # All errors of PgBouncer's own have one SQLSTATE, and its words are English.
        if self.code(inner) == POOLER and "statement pooling mode" in str(inner):
            return Fault.POOLING
        if self.code(inner):
            return super().fault(error)
        if refused := postgresql_limits.refused(str(inner)):
            return refused
        if type(inner).__name__ == "OperationalError":
            return Fault.AGAIN
        return super().fault(error)

    def code(self, error: BaseException) -> Any:
        """Return the SQLSTATE; psycopg has none for what never reached the server."""
        return getattr(error, "sqlstate", None)
