"""What Alembic runs: the settings name a cell, and the cell gets its revisions."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING, Any

from alembic import context
from alembic.util import CommandError

from cellmap_migrations import running
from cellmap_migrations.backends import DATABASE_ERRORS
from cellmap_migrations.bookkeeping import tables, version
from cellmap_migrations.errors import AlembicRefused, NotStamped, OvertakenStamp

if TYPE_CHECKING:
    from cellmap_migrations import Cell


def migrate(cell: Cell) -> None:
    """Apply the command's revisions to *cell*, and read the stamp again afterwards."""
    before = version.stamped(cell.api, cell.mapping.uuid)
    wanted = before

    # The names are Alembic's: it passes them as keywords.
    def remember(ctx: Any, step: Any, heads: Any, run_args: Any) -> None:  # noqa: ARG001
        nonlocal wanted
        wanted = tuple(sorted(heads))

    if version.only_stamps(context.config):
        tables.create_tables(cell.api)
    with version.connection(cell.api, cell.mapping.uuid) as connection:
        cell.keep_alive = version.KeepAlive(connection)
        context.configure(
            connection=connection,
            version_table=tables.versions.name,
            on_version_apply=remember,
            # Our tables are made by the first verb that writes, after its refusals.
            dont_mutate=True,
        )
        try:
            with context.begin_transaction():
                context.run_migrations(cell=cell)
        except (CommandError, *DATABASE_ERRORS) as error:
            if version.stamped(cell.api, cell.mapping.uuid) not in (before, wanted):
                raise OvertakenStamp(str(cell.mapping)) from error
            if isinstance(error, CommandError):
                raise AlembicRefused(str(error)) from error
            raise
    found = version.stamped(cell.api, cell.mapping.uuid)
    if found != wanted:
        raise NotStamped(str(cell.mapping), ", ".join(wanted), ", ".join(found))


if "output=json" in context.get_x_argument() or context.config.stdout is None:
    context.config.stdout = StringIO()

running.run(list(context.get_x_argument()), migrate, offline=context.is_offline_mode())
