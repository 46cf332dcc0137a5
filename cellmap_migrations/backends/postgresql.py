"""PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BIT

from cellmap_migrations.backends.base import Backend, Fault, driver_error

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


def array_of(column: sa.ColumnElement[Any]) -> ARRAY[Any]:
    """Return the type of an array of *column*'s values.

    Without lengths: a cast to one truncates, where an INSERT refuses.
    """
    kind = sa.Text() if isinstance(column.type, sa.String) else column.type
    return ARRAY(kind)


class PostgreSQL(Backend):
    """Through psycopg 3; error codes are SQLSTATEs."""

    port = 5432
    drivernames = ("postgresql+psycopg",)
    package = "cellmap-migrations[postgresql]"
    again = frozenset(
        {
            "08000",  # connection exceptions
            "08001",
            "08003",
            "08004",
            "08006",
            "25006",  # read only: a failover in progress
            "25P03",  # idle in transaction for too long
            "40001",  # serialization failure
            "40P01",  # deadlock
            "53000",  # insufficient resources
            "53100",  # disk full
            "53200",  # out of memory
            "53300",  # too many connections
            "55P03",  # lock not available within lock_timeout
            "57014",  # query canceled, or statement_timeout
            "57P01",  # terminated by the administrator
            "57P02",  # crash of another backend
            "57P03",  # starting up, shutting down
            "57P05",  # idle session for too long
            "58030",  # input/output error
        }
    )
    login = frozenset({"28000", "28P01"})
    rights = frozenset({"42501"})
    missing = frozenset({"3D000"})
    data = frozenset({"P0001"})  # RAISE in a trigger

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

    def session(self, *, read_only: bool) -> Callable[[Any, Any], None]:
        """Bound lock waits, and the life of a transaction whose client was frozen."""
        limits = [
            "SET lock_timeout = '1s'",
            "SET statement_timeout = '30s'",
            "SET idle_in_transaction_session_timeout = '5s'",
        ]
        if read_only:
            limits.append("SET default_transaction_read_only = on")
        statements = "; ".join(limits)

        def limit(connection: Any, _: Any) -> None:
            # Outside a transaction, or a later rollback would take the limits back.
            before, connection.autocommit = connection.autocommit, True
            connection.execute(statements)
            connection.autocommit = before

        return limit

    def checksum(self, text: sa.ColumnElement[str]) -> sa.ColumnElement[Any]:
        """Add up the first 15 hex digits of each MD5."""
        digits = sa.func.concat("x0", sa.func.left(sa.func.md5(text), 15))
        return sa.func.sum(sa.cast(sa.cast(digits, BIT(64)), sa.BigInteger))

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
        arrays = [
            sa.func.unnest(
                sa.bindparam(
                    column.name, [row[column.name] for row in rows], array_of(column)
                )
            )
            for column in columns
        ]
        connection.execute(sa.insert(table).from_select(columns, sa.select(*arrays)))

    def fault(self, error: BaseException) -> Fault:
        """Say what *error* means; without a SQLSTATE it is a failure to connect."""
        inner = driver_error(error)
        if type(inner).__name__ != "OperationalError" or self.code(inner):
            return super().fault(error)
        # libpq gives no code for a refused login, so its words have to do. They are
        # English unless the server's lc_messages says otherwise; then it is AGAIN.
        words = str(inner)
        if "authentication failed" in words or "no pg_hba.conf entry" in words:
            return Fault.LOGIN
        if "FATAL" in words and "does not exist" in words:
            return Fault.MISSING
        return Fault.AGAIN

    def code(self, error: BaseException) -> Any:
        """Return the SQLSTATE; psycopg has none for what never reached the server."""
        return getattr(error, "sqlstate", None)
