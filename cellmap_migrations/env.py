"""What Alembic runs: the settings name a cell, and the cell gets its revisions."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from io import StringIO
from typing import TYPE_CHECKING, Any

from alembic import context

from cellmap_migrations import run
from cellmap_migrations.bookkeeping import tables, versions
from cellmap_migrations.common.sentences import OfflineRefused
from cellmap_migrations.config import settings
from cellmap_migrations.nova import cells
from cellmap_migrations.operations import lasting, steps
from cellmap_migrations.operations.check import check

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellmap_migrations import Cell
    from cellmap_migrations.config.settings import Settings


def migrate(cell: Cell) -> None:
    """Apply the command's revisions to *cell*, and see that they are recorded."""
    command = versions.command(context.config)
    purged, unrecorded = False, []
    if command == "stamp":
        purged = steps.refuse_stamps(context.config)
        tables.create_tables(cell.api)
    if command == "downgrade":
        unrecorded = steps.unrecorded(context, cell)
        steps.refuse_removal(context, cell, unrecorded)
    if command == "upgrade":
        lasting.forget_outlived(cell)
    if command == "current" and cell.settings.cell == cells.ALL:
        context.config.print_stdout("cell %s:", cell.mapping)
    # The version's connection may be lost while a cell is copied. Doing it again
    # finds all rows copied, and costs no more than the comparison.
    cell.api.again(partial(apply, cell, unrecorded, purged=purged))


def apply(cell: Cell, unrecorded: Sequence[Any], *, purged: bool) -> None:
    """Do the steps *unrecorded*, then let Alembic do and record its own steps."""
    with (
        versions.proved(cell.api, cell.mapping, purged=purged) as remember,
        versions.connection(cell.api, cell.mapping) as connection,
        cell.keep_alive.watching(connection),
    ):
        context.configure(
            connection=connection,
            version_table=tables.versions.name,
            on_version_apply=remember,
            # Our tables are made by the first verb that writes, after its refusals.
            dont_mutate=True,
        )
        with context.begin_transaction():
            steps.do(unrecorded, cell)
            steps.run(context, cell)


def load(arguments: list[str], *, read_only: bool) -> Settings:
    """Return the settings that ``-x`` *arguments* and nova.conf give."""
    if context.is_offline_mode():
        raise OfflineRefused(option="--sql")
    return replace(settings.load(arguments), read_only=read_only)


def main() -> None:
    """Do the command that ``alembic`` was given, for the cells that ``-x`` names."""
    arguments = list(context.get_x_argument())
    as_json = settings.last(arguments, "output") == "json"
    if as_json or context.config.stdout is None:
        context.config.stdout = StringIO()
    checks = versions.command(context.config) == "check"
    code = run.run_cells(
        partial(load, arguments, read_only=checks),
        check if checks else migrate,
        cell=settings.last(arguments, "cell"),
        as_json=as_json,
    )
    # Alembic's own check would go on to compare the stamp, which proves nothing.
    if code or checks:
        raise SystemExit(code)


# ``cellmap`` has the cell already, and ends with its own exit code.
if cell := context.config.attributes.get(versions.CELL):
    migrate(cell)
else:
    main()
