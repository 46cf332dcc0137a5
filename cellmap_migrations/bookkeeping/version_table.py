"""``cellmap_version``: Alembic's version table, with a row for each cell.

Alembic knows only ``version_num``. Its table is given one more column, whose value
comes from the connection, and its statements are narrowed to the connection's cell.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from alembic.ddl.impl import DefaultImpl
from alembic.ddl.mysql import MySQLImpl
from alembic.ddl.postgresql import PostgresqlImpl
from alembic.ddl.sqlite import SQLiteImpl

from cellmap_migrations.bookkeeping.tables import (
    CELL_OPTION,
    NUMBER_OPTION,
    versions,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cellmap_migrations.databases import Database
    from cellmap_migrations.directory import CellMapping

# kolla's HAProxy cuts a connection that was idle for a minute.
IDLE_SECONDS = 20.0


class CellVersions(DefaultImpl):
    """Gives Alembic the version table with the cell's column."""

    def version_table_impl(self, *, version_table: str, **kw: Any) -> sa.Table:
        """Return our table; any other environment in the process gets its own."""
        if version_table != versions.name:
            return super().version_table_impl(version_table=version_table, **kw)
        return versions


class MySQLVersions(CellVersions, MySQLImpl):
    """The table on MySQL."""

    __dialect__ = MySQLImpl.__dialect__


class PostgreSQLVersions(CellVersions, PostgresqlImpl):
    """The table on PostgreSQL."""

    __dialect__ = PostgresqlImpl.__dialect__


class SQLiteVersions(CellVersions, SQLiteImpl):
    """The table on SQLite."""

    __dialect__ = SQLiteImpl.__dialect__


@contextmanager
def connection(api: Database, cell: CellMapping) -> Iterator[sa.Connection]:
    """Yield a connection on which Alembic sees only the version of one cell.

    It is in AUTOCOMMIT: otherwise Alembic's first SELECT opens a transaction that
    stays open for as long as the revision runs, and a failed stamp goes unnoticed.
    """
    mine = {CELL_OPTION: cell.uuid, NUMBER_OPTION: cell.id}
    options = {"isolation_level": "AUTOCOMMIT", **mine}
    with api.engine.connect().execution_options(**options) as opened:
        sa.event.listen(opened, "before_execute", narrow, retval=True)
        # A node of Galera waits for the other nodes' commits before a SELECT, and not
        # before the DESCRIBE that is Alembic's first statement.
        opened.execute(sa.select(1))
        yield opened


def narrow(
    connection: sa.Connection, statement: Any, multi: Any, single: Any, _: Any
) -> tuple[Any, Any, Any]:
    """Add the cell to Alembic's SELECT, UPDATE and DELETE of its version table."""
    tables: list[Any] = []
    if isinstance(statement, (sa.Update, sa.Delete)):
        tables = [statement.table]
    elif isinstance(statement, sa.Select):
        tables = list(statement.get_final_froms())
    if versions in tables:
        cell_uuid = connection.get_execution_options()[CELL_OPTION]
        statement = statement.where(versions.c.cell_uuid == cell_uuid)
    return statement, multi, single


class KeepAlive:
    """Keeps a connection from being idle for so long that a proxy would cut it."""

    def __init__(self, opened: sa.Connection) -> None:
        self.opened, self.used = opened, time.monotonic()

    def __call__(self) -> None:
        """Use the connection if that was long ago."""
        if time.monotonic() - self.used > IDLE_SECONDS:
            self.opened.execute(sa.select(1))
            self.used = time.monotonic()
