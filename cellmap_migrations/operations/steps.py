"""Refuse steps of Alembic's commands, and do steps that Alembic leaves out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations.bookkeeping import journal
from cellmap_migrations.bookkeeping.journal import inserted_by
from cellmap_migrations.bookkeeping.versions import stamped, understood
from cellmap_migrations.common.errors import AlembicRefused, RowsLeft, Unasked
from cellmap_migrations.common.sentences import MappingsInUse
from cellmap_migrations.nova.tables import instance_mappings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cellmap_migrations.cell.cell import Cell


BASE = "base"


def refuse_stamps(config: Any) -> bool:
    """Raise AlembicRefused for a stamp with several revisions: a cell has one.

    Returns whether the version is purged first.
    """
    if len(config.cmd_opts.revisions) > 1:
        raise AlembicRefused("a cell has one revision; stamp one of them")
    return bool(config.cmd_opts.purge)


def downgrades(context: Any, revision: str, heads: Sequence[str]) -> list[Any]:
    """Return Alembic's steps from *heads* down to *revision*; raise AlembicRefused."""
    # As alembic.command.downgrade does: no public function takes "-3".
    with understood():
        return list(context.script._downgrade_revs(revision, heads))  # noqa: SLF001


def unrecorded(context: Any, cell: Cell) -> list[Any]:
    """Return the steps that take back a cell that has mappings and no revision.

    A run that ended without recording 0001 leaves mappings behind, and Alembic does no
    step of a downgrade to base where no revision is recorded. *context* is
    ``alembic.context``.
    """
    if context.config.cmd_opts.revision != BASE:
        return []
    if stamped(cell.api, cell.mapping.uuid) or not journal.exists(cell.api):
        return []
    found = downgrades(context, BASE, context.script.get_heads())
    return (
        found if any(removes(step) and inserted(step, cell) for step in found) else []
    )


def inserted(step: Any, cell: Cell) -> bool:
    """Return True if there is a mapping that the revision of *step* inserted."""
    ours = inserted_by(cell.mapping, step.revision.revision)
    return bool(cell.api.read(sa.select(instance_mappings.c.id).where(ours).limit(1)))


def removes(step: Any) -> bool:
    """Return True if the script of *step* says that its downgrade removes mappings."""
    return bool(getattr(step.revision.module, "removes_mappings", False))


def refuse_removal(context: Any, cell: Cell, more: Iterable[Any]) -> None:
    """Raise MappingsInUse before the first step of a downgrade that removes mappings.

    *more* are steps that Alembic does not do. *context* is ``alembic.context``.
    """
    if cell.settings.remove_mappings:
        return
    heads = stamped(cell.api, cell.mapping.uuid)
    steps = downgrades(context, context.config.cmd_opts.revision, heads)
    if any(removes(step) for step in (*steps, *more)):
        raise MappingsInUse(cell=cell.mapping)


def run(context: Any, cell: Cell) -> None:
    """Let Alembic do and record its steps; after rows that are left, do the rest.

    Alembic records each step that returns, so one that leaves rows raises, and no step
    behind it may be recorded. These steps are done all the same: they mend all other
    rows. Raises RowsLeft or Unasked in the end. *context* is ``alembic.context``.
    """
    try:
        context.run_migrations(cell=cell)
    except (RowsLeft, Unasked):
        migration = context.get_context()
        todo = migration.opts["fn"](migration.get_current_heads(), migration)
        do(list(todo)[1:], cell)
        raise


def do(steps: Iterable[Any], cell: Cell) -> None:
    """Do *steps* and record nothing; raise the first RowsLeft or Unasked in the end."""
    errors = [error for step in steps if (error := left_by(step, cell))]
    if errors:
        raise errors[0]


def left_by(step: Any, cell: Cell) -> RowsLeft | Unasked | None:
    """Do *step*, and return its error if it left rows and mended all others."""
    try:
        step.migration_fn(cell=cell)
    except (RowsLeft, Unasked) as error:
        return error
    return None
