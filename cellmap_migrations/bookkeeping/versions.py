"""Let Alembic keep one row for each cell in ``cellmap_version``.

Alembic knows only ``version_num``. Its table is given one more column, whose value
comes from the connection, and its statements are narrowed to the connection's cell.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa
from alembic.config import Config
from alembic.ddl.impl import DefaultImpl
from alembic.ddl.mysql import MySQLImpl
from alembic.ddl.postgresql import PostgresqlImpl
from alembic.ddl.sqlite import SQLiteImpl
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError, DatabaseNotAtHead

from cellmap_migrations.bookkeeping.tables import CELL_OPTION, NUMBER_OPTION, versions
from cellmap_migrations.common import secrets
from cellmap_migrations.common.errors import AlembicRefused
from cellmap_migrations.common.sentences import BehindHead, NotStamped, OvertakenStamp
from cellmap_migrations.databases.base import DATABASE_ERRORS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from alembic.runtime.migration import RevisionStep

    from cellmap_migrations.databases.database import Database
    from cellmap_migrations.nova.cells import CellMapping


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
    """Uses an idle connection before a proxy cuts it."""

    def __init__(self) -> None:
        self.watched: sa.Connection | None = None
        self.used = time.monotonic()

    @contextmanager
    def watching(self, connection: sa.Connection) -> Iterator[None]:
        """Keep *connection* alive while the block runs."""
        self.watched, self.used = connection, time.monotonic()
        try:
            yield
        finally:
            self.watched = None

    def __call__(self) -> None:
        """Execute a short SELECT if the last one is more than IDLE_SECONDS ago."""
        if self.watched and time.monotonic() - self.used > IDLE_SECONDS:
            self.watched.execute(sa.select(1))
            self.used = time.monotonic()


@contextmanager
def proved(
    api: Database, cell: CellMapping, *, purged: bool = False
) -> Iterator[Callable[..., None]]:
    """Yield Alembic's ``on_version_apply``, and afterwards read the stamp again.

    Alembic ends well without a stamp if its connection was in a transaction when it
    was configured; so the table is read on a fresh connection. Raises NotStamped,
    OvertakenStamp if another run recorded something, or AlembicRefused.
    """
    before = stamped(api, cell.uuid)
    # None until Alembic has recorded something. Without any step it found, when it
    # read the table itself, what another run may have recorded after *before*.
    wanted: tuple[str, ...] | None = () if purged else None

    # Alembic passes ctx, step, heads and run_args, by these names.
    def remember(*, heads: Collection[str], **_: Any) -> None:
        nonlocal wanted
        wanted = tuple(sorted(heads))

    try:
        yield remember
    except (CommandError, AlembicRefused, *DATABASE_ERRORS) as error:
        if stamped(api, cell.uuid) not in (before, wanted):
            raise OvertakenStamp(cell=cell) from error
        if isinstance(error, DatabaseNotAtHead):
            revision = ", ".join(before) or "no revision"
            raise BehindHead(cell=cell, revision=revision) from error
        if isinstance(error, CommandError):
            raise AlembicRefused(secrets.mask(error)) from error
        raise
    found = stamped(api, cell.uuid)
    if wanted is None or found == wanted:
        return
    if found != before:
        raise OvertakenStamp(cell=cell)
    raise NotStamped(cell=cell, wanted=", ".join(wanted), found=", ".join(found))


def environment(
    steps: Callable[[str, Collection[str]], list[RevisionStep]], revision: str
) -> EnvironmentContext:
    """Return what a command of ``alembic`` gives env.py, for *steps* to *revision*.

    Raises AlembicRefused for a *revision* that no command of Alembic can take.
    """
    # Alembic fails an assertion on an empty one, and offline mode is refused.
    if not revision:
        raise AlembicRefused("the revision is empty; write head, or one of history")
    if ":" in revision:
        raise AlembicRefused("Range revision not allowed")
    return EnvironmentContext(
        Config(), scripts(), fn=lambda heads, _: steps(revision, heads)
    )


def scripts() -> ScriptDirectory:
    """Return the folder of env.py and of the revisions."""
    return ScriptDirectory(str(Path(__file__).parents[1]))


def upgrade_steps(revision: str, heads: Collection[str]) -> list[RevisionStep]:
    """Return Alembic's steps from *heads* up to *revision*; raise AlembicRefused."""
    with understood():
        # alembic.command.upgrade calls this; no public function takes "+1".
        return scripts()._upgrade_revs(revision, heads)  # type: ignore[arg-type]  # noqa: SLF001


def downgrade_steps(revision: str, heads: Collection[str]) -> list[RevisionStep]:
    """Return Alembic's steps from *heads* down to *revision*; raise AlembicRefused."""
    with understood():
        # alembic.command.downgrade calls this; no public function takes "-3".
        return scripts()._downgrade_revs(revision, heads)  # type: ignore[arg-type]  # noqa: SLF001


@contextmanager
def understood() -> Iterator[None]:
    """Raise AlembicRefused for what Alembic refuses in the block."""
    try:
        yield
    except CommandError as error:
        raise AlembicRefused(secrets.mask(error)) from error


# A fleet asks for each of its cells, and most cells are at the same revision.
@cache
def behind(revision: str, recorded: str | None) -> bool:
    """Return True if an upgrade from *recorded* to *revision* has steps to do.

    Also returns True if *recorded* is no revision: the upgrade reports that. Raises
    AlembicRefused if *revision* is none.
    """
    environment(upgrade_steps, revision)
    upgrade_steps(revision, ())
    try:
        return bool(upgrade_steps(revision, (recorded,) if recorded else ()))
    except AlembicRefused:
        return True


class Stamp(NamedTuple):
    """A recorded revision, and the ``cell_mappings.id`` of the cell at that time.

    The id is None if an older version of this package recorded the revision.
    """

    revision: str
    cell_id: int | None


def all_stamps(api: Database) -> dict[str, Stamp]:
    """Return the stamp of each cell that has one, by the uuid of the cell."""
    if not api.has_table(versions.name):
        return {}
    # A table that an older version of this package made lacks the column cell_id.
    every: sa.Select[Any] = sa.select(sa.literal_column("*")).select_from(versions)
    return {
        str(row.cell_uuid): Stamp(row.version_num, getattr(row, "cell_id", None))
        for row in api.read(every)
    }


def stamped(api: Database, cell_uuid: str) -> tuple[str, ...]:
    """Return the cell's revision as a fresh connection reads it: none or one."""
    return api.again(lambda: stamped_now(api, cell_uuid))


def stamped_now(api: Database, cell_uuid: str) -> tuple[str, ...]:
    """Read the cell's revision once."""
    if not api.has_table_now(versions.name):
        return ()
    rows = api.read_once(
        sa.select(versions.c.version_num).where(versions.c.cell_uuid == cell_uuid)
    )
    return tuple(str(row[0]) for row in rows)


def recorded(api: Database, cell_uuid: str) -> str | None:
    """Return the cell's revision, or None without one."""
    return next(iter(stamped(api, cell_uuid)), None)


def recorded_now(api: Database, cell_uuid: str) -> str | None:
    """Return the same, asked once."""
    return next(iter(stamped_now(api, cell_uuid)), None)


def head() -> str:
    """Return the last revision that there is."""
    return str(scripts().get_current_head())


def forget(api: Database, cell_uuid: str) -> None:
    """Remove the cell's revision, as if it had never been upgraded."""
    if stamped(api, cell_uuid):
        gone = sa.delete(versions).where(versions.c.cell_uuid == cell_uuid)
        with api.engine.begin() as connection:
            connection.execute(gone)
