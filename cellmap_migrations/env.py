"""Apply the revisions to the cells that ``-x`` names: Alembic loads this module."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from functools import partial
from io import StringIO
from typing import TYPE_CHECKING, cast

from alembic import context

from cellmap_migrations import run
from cellmap_migrations.common.sentences import OfflineRefused
from cellmap_migrations.config import settings
from cellmap_migrations.nova.cells import ALL
from cellmap_migrations.operations import steps
from cellmap_migrations.operations.check import check

if TYPE_CHECKING:
    from collections.abc import Callable

    from alembic.runtime.environment import EnvironmentContext

    from cellmap_migrations import Cell
    from cellmap_migrations.config.settings import Settings

# The module alembic.context has a function for each method of this class.
ENVIRONMENT = cast("EnvironmentContext", context)


def main() -> None:
    """Do the current command of ``alembic`` for the cells that ``-x`` names."""
    arguments = list(context.get_x_argument())
    as_json = settings.last_value(arguments, "output") == "json"
    # Alembic prints to stdout. JSON must be alone there, and stdout may be closed.
    if as_json or context.config.stdout is None:
        context.config.stdout = StringIO()
    work = choose_work()
    code = run.run_cells(
        partial(load, arguments, read_only=work is check),
        work,
        selector=settings.last_value(arguments, "cell"),
        as_json=as_json,
    )
    # Otherwise Alembic's check would go on and compare the revision with the head.
    if code or work is check:
        raise SystemExit(code)


def load(arguments: list[str], *, read_only: bool) -> Settings:
    """Return the settings from ``-x`` *arguments* and nova.conf; refuse ``--sql``."""
    if context.is_offline_mode():
        raise OfflineRefused(option="--sql")
    return replace(settings.load(arguments), read_only=read_only)


def choose_work() -> Callable[[Cell], None]:
    """Return the function that does the current command of ``alembic`` for a cell."""
    options = context.config.cmd_opts or Namespace()
    name = options.cmd[0].__name__ if "cmd" in options else ""
    if name == "check":
        return check
    if name == "current":
        return current
    if name == "upgrade":
        return partial(steps.upgrade, environment=ENVIRONMENT)
    if name == "downgrade":
        revision = options.revision
        return partial(steps.downgrade, environment=ENVIRONMENT, revision=revision)
    if name == "stamp":
        given = {"revisions": options.revisions, "purge": options.purge}
        return partial(steps.stamp, environment=ENVIRONMENT, **given)
    return partial(steps.migrate, environment=ENVIRONMENT)


def current(cell: Cell) -> None:
    """Print the revision of *cell*, after its name if ``-x cell=all`` was given."""
    if cell.settings.selector == ALL:
        context.config.print_stdout("cell %s:", cell.mapping)
    steps.migrate(cell, ENVIRONMENT)


main()
