"""Let Alembic keep one row for each cell in ``cellmap_version``.

Alembic's version table has only the column ``version_num``. This module adds the column
``cell_uuid``. A listener adds the cell of the connection to Alembic's statements.
"""

from __future__ import annotations

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

from cellmap_migrations.bookkeeping.tables import (
    CELL_OPTION,
    NUMBER_OPTION,
    PROVED_OPTION,
    versions,
)
from cellmap_migrations.common import secrets
from cellmap_migrations.common.errors import AlembicRefused
from cellmap_migrations.common.sentences import BehindHead, NotStamped, OvertakenStamp
from cellmap_migrations.databases.base import DATABASE_ERRORS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from datetime import datetime

    from alembic.runtime.migration import RevisionStep

    from cellmap_migrations.databases.database import Database
    from cellmap_migrations.nova.cells import CellMapping


class CellVersions(DefaultImpl):
    """Give Alembic the version table with the column ``cell_uuid``."""

    def version_table_impl(self, *, version_table: str, **kw: Any) -> sa.Table:
        """Return ``cellmap_version``; another environment gets Alembic's own table."""
        if version_table != versions.name:
            return super().version_table_impl(version_table=version_table, **kw)
        return versions


for impl in (MySQLImpl, PostgresqlImpl, SQLiteImpl):
    # Alembic's metaclass registers the new class for the dialect.
    type(impl.__name__, (CellVersions, impl), {"__dialect__": impl.__dialect__})


@contextmanager
def connection(
    api: Database, mapping: CellMapping, *, proved: bool = False
) -> Iterator[sa.Connection]:
    """Yield a connection on which Alembic sees only the version of one cell.

    *proved* is True for an upgrade, whose revisions are recorded with the time.

    The connection is in AUTOCOMMIT. Otherwise Alembic's first SELECT would open a
    transaction that stays open while the revision runs, and Alembic would not notice a
    failed stamp.
    """
    options = {
        "isolation_level": "AUTOCOMMIT",
        CELL_OPTION: mapping.uuid,
        NUMBER_OPTION: mapping.id,
        PROVED_OPTION: proved,
    }
    with api.engine.connect().execution_options(**options) as opened:
        sa.event.listen(opened, "before_execute", add_cell, retval=True)
        # Alembic's first statement is a DESCRIBE. Only before a SELECT, a Galera node
        # waits for the commits of the other nodes.
        opened.execute(sa.select(1))
        yield opened


def add_cell(
    connection: sa.Connection, statement: Any, multi: Any, single: Any, _: Any
) -> tuple[Any, Any, Any]:
    """Add the cell to the WHERE of Alembic's SELECT, UPDATE and DELETE."""
    tables: list[Any] = []
    if isinstance(statement, (sa.Update, sa.Delete)):
        tables = [statement.table]
    elif isinstance(statement, sa.Select):
        tables = list(statement.get_final_froms())
    if versions in tables:
        cell_uuid = connection.get_execution_options()[CELL_OPTION]
        statement = statement.where(versions.c.cell_uuid == cell_uuid)
    return statement, multi, single


@contextmanager
def verifying_stamp(
    api: Database, mapping: CellMapping, *, purged: bool
) -> Iterator[Callable[..., None]]:
    """Yield Alembic's ``on_version_apply``; afterwards compare it with the table.

    Alembic succeeds without a stamp if its connection was in a transaction when it was
    configured, so a fresh connection reads the table. Raises NotStamped, OvertakenStamp
    if another run recorded a revision, or AlembicRefused.
    """
    before = current_heads(api, mapping.uuid)
    # None until Alembic has recorded a revision. If Alembic had no step to do, another
    # run may have recorded one after *before* was read: then nothing is compared.
    wanted: tuple[str, ...] | None = () if purged else None
    # The revisions of which one is recorded, unless another run changed it.
    own = {before, wanted}

    # Alembic passes ctx, step, heads and run_args as keyword arguments.
    def remember(*, heads: Collection[str], **_: Any) -> None:
        nonlocal wanted, own
        wanted = tuple(sorted(heads))
        own = {wanted}

    try:
        yield remember
    except (CommandError, AlembicRefused, *DATABASE_ERRORS) as error:
        if current_heads(api, mapping.uuid) not in own:
            raise OvertakenStamp(cell=mapping) from error
        if isinstance(error, DatabaseNotAtHead):
            revision = ", ".join(before) or "no revision"
            raise BehindHead(cell=mapping, revision=revision) from error
        if isinstance(error, CommandError):
            raise AlembicRefused(secrets.mask(error)) from error
        raise
    found = current_heads(api, mapping.uuid)
    if wanted is None or found == wanted:
        return
    if found != before:
        raise OvertakenStamp(cell=mapping)
    raise NotStamped(cell=mapping, wanted=", ".join(wanted), found=", ".join(found))


def make_environment(
    steps: Callable[[str, Collection[str]], list[RevisionStep]], revision: str
) -> EnvironmentContext:
    """Return Alembic's environment for *steps* to *revision*.

    Raises the errors of ``refuse_malformed``.
    """
    refuse_malformed(revision)
    return EnvironmentContext(
        Config(), scripts(), fn=lambda heads, _: steps(revision, heads)
    )


def refuse_malformed(revision: str) -> None:
    """Raise AlembicRefused for a *revision* that no command of Alembic accepts."""
    # An empty revision fails an assertion of Alembic. A range is for offline mode only.
    if not revision:
        raise AlembicRefused("the revision is empty; write head, or one of history")
    if ":" in revision:
        raise AlembicRefused("Range revision not allowed")


# Alembic executes every script when it is asked for the first time.
@cache
def scripts() -> ScriptDirectory:
    """Return the folder that contains env.py and ``versions``."""
    return ScriptDirectory(str(Path(__file__).parents[1]))


def upgrade_steps(revision: str, heads: Collection[str]) -> list[RevisionStep]:
    """Return Alembic's steps from *heads* up to *revision*; raise AlembicRefused."""
    with alembic_errors():
        # alembic.command.upgrade calls it. No public function accepts "+1".
        return scripts()._upgrade_revs(revision, heads)  # type: ignore[arg-type]  # noqa: SLF001


def downgrade_steps(revision: str, heads: Collection[str]) -> list[RevisionStep]:
    """Return Alembic's steps from *heads* down to *revision*; raise AlembicRefused."""
    with alembic_errors():
        # alembic.command.downgrade calls it. No public function accepts "-3".
        return scripts()._downgrade_revs(revision, heads)  # type: ignore[arg-type]  # noqa: SLF001


@contextmanager
def alembic_errors() -> Iterator[None]:
    """Raise AlembicRefused for each CommandError of the block."""
    try:
        yield
    except CommandError as error:
        raise AlembicRefused(secrets.mask(error)) from error


# A fleet calls it once for each cell, and most cells are at the same revision.
@cache
def behind(revision: str, recorded: str | None) -> bool:
    """Return True if an upgrade from *recorded* to *revision* has steps to do.

    Also returns True if *recorded* is an unknown revision, because the upgrade reports
    that. Raises AlembicRefused if *revision* is unknown.
    """
    refuse_malformed(revision)
    upgrade_steps(revision, ())
    try:
        return bool(upgrade_steps(revision, (recorded,) if recorded else ()))
    except AlembicRefused:
        return True


# No row of cell_mappings has this id.
NO_CELL = 0


class Stamp(NamedTuple):
    """Hold a recorded revision and the ``cell_mappings.id`` of its cell at that time.

    The id is None if an older version of this package recorded the revision, and
    ``NO_CELL`` while a downgrade removes mappings. *proved_at*, in UTC, is None if no
    comparison proved the revision.
    """

    revision: str
    cell_id: int | None
    proved_at: datetime | None


def all_stamps(api: Database) -> dict[str, Stamp]:
    """Return the stamp of each cell that has one, keyed by the cell's uuid."""
    names = api.columns(versions)
    if not names:
        return {}
    # A table of an older version of this package lacks some columns.
    columns = [
        column if column.name in names else sa.null().label(column.name)
        for column in versions.c
    ]
    return {
        str(row.cell_uuid): Stamp(row.version_num, row.cell_id, row.proved_at)
        for row in api.read(sa.select(*columns).select_from(versions))
    }


def current_heads(api: Database, cell_uuid: str) -> tuple[str, ...]:
    """Return the cell's revision as Alembic's heads, a tuple of none or one."""
    return api.retry(lambda: current_heads_once(api, cell_uuid))


def current_heads_once(api: Database, cell_uuid: str) -> tuple[str, ...]:
    """Return the cell's revision as heads; do not retry."""
    if not api.has_table_once(versions.name):
        return ()
    rows = api.read_once(
        sa.select(versions.c.version_num).where(versions.c.cell_uuid == cell_uuid)
    )
    return tuple(str(row[0]) for row in rows)


def current_revision(api: Database, cell_uuid: str) -> str | None:
    """Return the cell's recorded revision, or None without one."""
    return next(iter(current_heads(api, cell_uuid)), None)


def head() -> str:
    """Return the last revision in ``versions``."""
    return str(scripts().get_current_head())


def delete_stamp(api: Database, cell_uuid: str) -> None:
    """Delete the cell's recorded revision."""
    change_stamp(api, cell_uuid, sa.delete(versions))


def doubt_stamp(api: Database, cell_uuid: str) -> None:
    """Let the next upgrade walk the cell again if the stamp is still there then."""
    doubt = sa.update(versions).values(cell_id=NO_CELL, proved_at=None)
    change_stamp(api, cell_uuid, doubt)


def change_stamp(api: Database, cell_uuid: str, change: sa.Delete | sa.Update) -> None:
    """Execute *change* for the cell's row, unless there is none or no table."""
    if current_heads(api, cell_uuid):
        with api.engine.begin() as connection:
            connection.execute(change.where(versions.c.cell_uuid == cell_uuid))
