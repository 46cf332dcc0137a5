"""Run Alembic's commands in this process, for a cell that is known already."""

from __future__ import annotations

from argparse import Namespace
from functools import cache
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config

from cellmap_migrations.bookkeeping import versions
from cellmap_migrations.cli import config_path
from cellmap_migrations.common.errors import AlembicRefused
from cellmap_migrations.operations import lasting, steps

if TYPE_CHECKING:
    from collections.abc import Callable

    from cellmap_migrations import Cell


def upgrade(cell: Cell, revision: str) -> None:
    """Do what ``alembic upgrade`` does to one cell."""
    run(command.upgrade, cell, revision)


def downgrade(cell: Cell, revision: str) -> None:
    """Do what ``alembic downgrade`` does to one cell."""
    run(command.downgrade, cell, revision)


def run(work: Callable[[Config, str], None], cell: Cell, revision: str) -> None:
    """Run one of Alembic's commands through the packaged env.py.

    Raises AlembicRefused for what Alembic makes of *revision*, and what the cell's
    verbs raise.
    """
    refuse_empty(revision)
    config = Config(
        config_path.path(),
        # What alembic's own main() leaves here, and env.py reads.
        cmd_opts=Namespace(cmd=(work,), revision=revision),
        attributes={versions.CELL: cell},
    )
    with versions.understood():
        work(config, revision)


def look(cell: Cell, revision: str) -> None:
    """Count what ``upgrade`` would do to one cell, and end as it would; write nothing.

    Raises AlembicRefused, and what the verbs of a dry run raise.
    """
    cell.report.details["dry_run"] = True
    refuse_empty(revision)
    heads = () if lasting.lost(cell) else versions.stamped(cell.api, cell.mapping.uuid)
    steps.do(versions.steps(Config(config_path.path()), revision, heads), cell)


# Asked for each cell of a fleet, most of which are at the same revision.
@cache
def behind(revision: str, stamped: str | None) -> bool:
    """Say whether a cell that is at *stamped* has steps to go to *revision*.

    Raises AlembicRefused for a *revision* that there is not. A cell that is at one
    that there is not is left to the upgrade, which says so.
    """
    refuse_empty(revision)
    config = Config(config_path.path())
    versions.steps(config, revision, ())
    try:
        return bool(versions.steps(config, revision, (stamped,) if stamped else ()))
    except AlembicRefused:
        return True


def refuse_empty(revision: str) -> None:
    """Raise AlembicRefused for a revision on which Alembic fails an assertion."""
    if not revision:
        raise AlembicRefused("the revision is empty; write head, or one of history")
