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
from alembic.util import CommandError

from cellmap_migrations import secrets
from cellmap_migrations.backends import DATABASE_ERRORS
from cellmap_migrations.bookkeeping.tables import CELL_OPTION, versions
from cellmap_migrations.errors import (
    AlembicRefused,
    MappingsInUse,
    NotStamped,
    OvertakenStamp,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from alembic.config import Config

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
def connection(api: Database, cell_uuid: str) -> Iterator[sa.Connection]:
    """Yield a connection on which Alembic sees only the version of one cell.

    It is in AUTOCOMMIT: otherwise Alembic's first SELECT opens a transaction that
    stays open for as long as the revision runs, and a failed stamp goes unnoticed.
    """
    options = {"isolation_level": "AUTOCOMMIT", CELL_OPTION: cell_uuid}
    with api.engine.connect().execution_options(**options) as opened:
        sa.event.listen(opened, "before_execute", narrow, retval=True)
        yield opened


@contextmanager
def proved(api: Database, cell: CellMapping) -> Iterator[Callable[..., None]]:
    """Yield Alembic's ``on_version_apply``, and afterwards read the stamp again.

    Alembic ends well without a stamp if its connection was in a transaction when it
    was configured; so the table is read on a fresh connection. Raises NotStamped,
    OvertakenStamp if another run recorded something, or AlembicRefused.
    """
    before = wanted = stamped(api, cell.uuid)

    # Alembic passes ctx, step, heads and run_args, by these names.
    def remember(*, heads: Collection[str], **_: Any) -> None:
        nonlocal wanted
        wanted = tuple(sorted(heads))

    try:
        yield remember
    except (CommandError, *DATABASE_ERRORS) as error:
        if stamped(api, cell.uuid) not in (before, wanted):
            raise OvertakenStamp(str(cell)) from error
        if isinstance(error, CommandError):
            raise AlembicRefused(secrets.mask(error)) from error
        raise
    found = stamped(api, cell.uuid)
    if found != wanted:
        raise NotStamped(str(cell), ", ".join(wanted), ", ".join(found))


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


def command(config: Config) -> str:
    """Return which command of ``alembic`` runs, or nothing for a call in process."""
    chosen = getattr(config.cmd_opts, "cmd", None)
    return str(chosen[0].__name__) if chosen else ""


def refuse_removal(context: Any, cell: Any) -> None:
    """Raise MappingsInUse before the first step of a downgrade that removes mappings.

    A script says so with ``removes_mappings``. *context* is ``alembic.context``.
    """
    if cell.settings.remove_mappings:
        return
    heads = stamped(cell.api, cell.mapping.uuid)
    # What alembic.command.downgrade calls; its public relatives know no "-3".
    steps = context.script._downgrade_revs(context.config.cmd_opts.revision, heads)  # noqa: SLF001
    for step in steps:
        if getattr(step.revision.module, "removes_mappings", False):
            raise MappingsInUse(str(cell.mapping))


def stamped(api: Database, cell_uuid: str) -> tuple[str, ...]:
    """Return the cell's revision as a fresh connection reads it: none or one."""
    if not sa.inspect(api.engine).has_table(versions.name):
        return ()
    rows = api.read(
        sa.select(versions.c.version_num).where(versions.c.cell_uuid == cell_uuid)
    )
    return tuple(str(row[0]) for row in rows)


def forget(api: Database, cell_uuid: str) -> None:
    """Remove the cell's revision, as if it had never been upgraded."""
    if stamped(api, cell_uuid):
        gone = sa.delete(versions).where(versions.c.cell_uuid == cell_uuid)
        with api.engine.begin() as connection:
            connection.execute(gone)
