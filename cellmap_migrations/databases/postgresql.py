"""Implement the backend of PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BIT

from cellmap_migrations.databases import arguments, codes, postgresql_limits
from cellmap_migrations.databases.base import Backend, driver_error, has_few_pairs
from cellmap_migrations.databases.codes import Fault
from cellmap_migrations.databases.postgresql_status import PostgreSQLStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cellmap_migrations.databases.base import Change, Version


# The SQLSTATE protocol_violation, which PgBouncer gives all its errors.
POOLER = "08P01"


# The first version with sha256 and hashtextextended.
OLDEST = (11,)

# The first major version of which a number has two parts, and not three.
TWO_PARTS = 10


def without_length(column: sa.ColumnElement[Any]) -> Any:
    """Return the type of *column* without its length: a cast would truncate."""
    return sa.Text() if isinstance(column.type, sa.String) else column.type


class PostgreSQL(Backend):
    """Connect with psycopg 3; error codes are SQLSTATEs."""

    port = 5432
    drivernames = ("postgresql+psycopg",)
    package = "cellmap-migrations[postgresql]"
    status = PostgreSQLStatus()
    refusals = codes.POSTGRESQL
    arguments = arguments.POSTGRESQL
    timeouts = ("connect_timeout",)
    transient = codes.POSTGRESQL_TRANSIENT
    refused = codes.POSTGRESQL_REFUSED
    oldest: ClassVar = {"PostgreSQL": OLDEST}
    data = frozenset({"P0001"})  # RAISE in a trigger
    # As fast as 10,000 rows, and INSERTs of nova wait less meanwhile: on two busy cores
    # their 99th percentile is 20 ms instead of 22 to 28 ms.
    batch_rows = 5_000

    def bounded(self, url: sa.URL) -> sa.URL:
        """Limit an attempt to connect to 5 s, and a wait for a dead peer to 30 s."""
        limits = {
            "connect_timeout": "5",
            "keepalives_idle": "10",
            "keepalives_interval": "5",
            "keepalives_count": "4",
            "tcp_user_timeout": "30000",
        }
        return url.update_query_dict({**limits, **url.query})

    def limit(self, engine: sa.Engine, *, read_only: bool) -> None:
        """Limit waits for locks, statements, and transactions of a frozen client."""
        postgresql_limits.limit(engine, read_only=read_only)

    def server(self, entry: sa.pool.ManagesConnection) -> tuple[str, Version]:
        """Return the version that the server said when the client logged in."""
        driver: Any = entry.driver_connection
        major, rest = divmod(int(driver.info.server_version), 10_000)
        # 90624 stands for 9.6.24, and 110022 for 11.22.
        minor = (rest,) if major >= TWO_PARTS else divmod(rest, 100)
        return "PostgreSQL", (major, *minor)

    def checksum(self, text: sa.ColumnElement[str]) -> sa.ColumnElement[Any]:
        """Add up the first 15 hex digits of each SHA-256 (PostgreSQL 11)."""
        coded = sa.func.convert_to(text, sa.func.getdatabaseencoding())
        digest = sa.func.sha256(coded)
        first = sa.func.encode(sa.func.substr(digest, 1, 8), "hex")
        digits = sa.func.concat("x0", sa.func.left(first, 15))
        return sa.func.sum(sa.cast(sa.cast(digits, BIT(64)), sa.BigInteger))

    def own_checksum(self, text: sa.ColumnElement[str]) -> sa.ColumnElement[Any]:
        """Add up the 64-bit hashes that hash partitions use (PostgreSQL 11).

        If two releases differ in the hash, all chunks differ and all rows are compared.
        """
        # A nondeterministic collation may give texts that differ in case the same hash.
        exact = sa.collate(text, "C")
        return sa.func.sum(sa.func.hashtextextended(exact, sa.literal_column("0")))

    def insert(
        self,
        connection: sa.Connection,
        table: sa.Table,
        rows: Sequence[Mapping[str, Any]],
    ) -> None:
        """Insert *rows* with one statement that has an array for each column.

        Not executemany, which psycopg sends as a pipeline. A client that is frozen in a
        pipeline, or right after it, keeps its locks. The server starts
        idle_in_transaction_session_timeout only when it waits for a new command, and
        the Flush at the end of a pipeline stops it (PostgreSQL 15, psycopg 3.3).
        """
        columns = [table.c[name] for name in rows[0]]
        arrays = []
        for column in columns:
            values = [row[column.name] for row in rows]
            kind = ARRAY(without_length(column))
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
        """Send *lines* as one parameter, which the server splits.

        Not COPY: if its client is frozen in the middle, the server keeps the locks and
        waits for ever. No timeout of the server ends that wait.
        """
        text = sa.bindparam("lines", type_=sa.Text())
        # string_to_table does the same in one function, since PostgreSQL 14.
        lines_of = sa.func.string_to_array(text, "\n")
        line = sa.func.unnest(lines_of).column_valued("line")
        fields = [
            sa.cast(
                sa.func.split_part(line, "\t", number), without_length(table.c[name])
            )
            for number, name in enumerate(columns, start=1)
        ]
        same = [
            sa.literal(value, table.c[name].type) for name, value in constants.items()
        ]
        insert = sa.insert(table).from_select(
            [*columns, *constants], sa.select(*fields, *same)
        )
        # Not a literal: the statement is in reference cycles, so its values would stay
        # in memory until the next garbage collection.
        connection.execute(insert, {"lines": lines})

    def update_rows(
        self,
        connection: sa.Connection,
        column: sa.Column[Any],
        changes: Sequence[Change],
        where: Mapping[str, Any],
    ) -> int:
        """Join the table with three arrays."""
        if has_few_pairs(changes):
            return super().update_rows(connection, column, changes, where)
        kind = without_length(column)
        kinds = {"number": sa.BigInteger(), "old": kind, "new": kind}
        arrays = [
            sa.bindparam(name, [*values], ARRAY(kinds[name]))
            for name, values in zip(kinds, zip(*changes, strict=True), strict=True)
        ]
        columns = [sa.column(name, kind) for name, kind in kinds.items()]
        rows = sa.func.unnest(*arrays).table_valued(*columns, name="changes")
        rows = rows.render_derived()
        table = column.table
        update = sa.update(table).where(
            table.c.id == rows.c.number,
            column.is_not_distinct_from(rows.c.old),
            *(table.c[name] == value for name, value in where.items()),
        )
        return connection.execute(update.values({column.name: rows.c.new})).rowcount

    def fault(self, error: BaseException) -> Fault:
        """Return the meaning of *error*, from its message if it has no SQLSTATE."""
        inner = driver_error(error)
        # PgBouncer gives all its errors one SQLSTATE. Its messages are English.
        if self.code(inner) == POOLER and "statement pooling mode" in str(inner):
            return Fault.POOLING
        if self.code(inner):
            return super().fault(error)
        if refused := postgresql_limits.fault_of(str(inner)):
            return refused
        if type(inner).__name__ == "OperationalError":
            return Fault.TRANSIENT
        return super().fault(error)

    def code(self, error: BaseException) -> Any:
        """Return the SQLSTATE, or None if the statement never reached the server."""
        return getattr(error, "sqlstate", None)
