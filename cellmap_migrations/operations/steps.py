"""Do a command of Alembic for one cell, and refuse what would do harm."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import sqlalchemy as sa

from cellmap_migrations.bookkeeping import journal, tables, versions
from cellmap_migrations.common.errors import AlembicRefused, RowsLeft, Unasked
from cellmap_migrations.common.sentences import MappingsInUse
from cellmap_migrations.nova.tables import instance_mappings
from cellmap_migrations.operations import lasting

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from alembic.runtime.environment import EnvironmentContext
    from alembic.runtime.migration import MigrationContext, RevisionStep

    from cellmap_migrations.cell.cell import Cell

BASE = "base"


def upgrade(cell: Cell, environment: EnvironmentContext) -> None:
    """Apply the revisions that the cell lacks; begin again if its mappings are lost."""
    lasting.forget_outlived(cell)
    migrate(cell, environment)


def preview(cell: Cell, revision: str) -> None:
    """Count what ``upgrade`` would do, and raise what it would raise; write nothing."""
    cell.report.details["dry_run"] = True
    versions.environment(versions.upgrade_steps, revision)
    heads = () if lasting.lost(cell) else versions.stamped(cell.api, cell.mapping.uuid)
    do(versions.upgrade_steps(revision, heads), cell)


def downgrade(cell: Cell, environment: EnvironmentContext, revision: str) -> None:
    """Take back the revisions above *revision*.

    Raises MappingsInUse before the first step if one of them removes mappings, and the
    operator did not ask for that.
    """
    more = unrecorded(cell, revision)
    if not cell.settings.remove_mappings:
        heads = versions.stamped(cell.api, cell.mapping.uuid)
        steps = versions.downgrade_steps(revision, heads)
        if any(removes(step) for step in (*steps, *more)):
            raise MappingsInUse(cell=cell.mapping)
    migrate(cell, environment, more)


def stamp(
    cell: Cell,
    environment: EnvironmentContext,
    revisions: Sequence[str],
    *,
    purge: bool,
) -> None:
    """Record one of *revisions*, without its work; *purge* forgets the recorded one.

    Raises AlembicRefused for several: a cell has one.
    """
    if len(revisions) > 1:
        raise AlembicRefused("a cell has one revision; stamp one of them")
    tables.create_tables(cell.api)
    migrate(cell, environment, purged=purge)


def migrate(
    cell: Cell,
    environment: EnvironmentContext,
    unrecorded: Sequence[RevisionStep] = (),
    *,
    purged: bool = False,
) -> None:
    """Do the steps *unrecorded*; then let Alembic do its own steps and record them."""
    # The version's connection may be lost while a cell is copied. The second attempt
    # finds all rows copied, and costs no more than the comparison.
    cell.api.again(partial(migrate_once, cell, environment, unrecorded, purged=purged))


def migrate_once(
    cell: Cell,
    environment: EnvironmentContext,
    unrecorded: Sequence[RevisionStep],
    *,
    purged: bool,
) -> None:
    """Do the same; raise if the connection of the version is lost."""
    with (
        versions.proved(cell.api, cell.mapping, purged=purged) as remember,
        versions.connection(cell.api, cell.mapping) as connection,
        cell.keep_alive.watching(connection),
    ):
        environment.configure(
            connection,
            version_table=tables.versions.name,
            on_version_apply=remember,
            # The first operation that writes creates our tables, after its refusals.
            dont_mutate=True,
        )
        migration = environment.get_context()
        with migration.begin_transaction():
            do(unrecorded, cell)
            run(migration, cell)


def run(migration: MigrationContext, cell: Cell) -> None:
    """Let Alembic do and record its steps; after rows that are left, do the rest.

    Alembic records each step that returns, so one that leaves rows raises, and no step
    behind it may be recorded. These steps are done all the same: they mend all other
    rows. Raises RowsLeft or Unasked in the end.
    """
    try:
        migration.run_migrations(cell=cell)
    except (RowsLeft, Unasked):
        todo = migration.opts["fn"](migration.get_current_heads(), migration)
        do(list(todo)[1:], cell)
        raise


def do(steps: Iterable[RevisionStep], cell: Cell) -> None:
    """Do *steps* and record nothing; raise the first RowsLeft or Unasked in the end."""
    errors = [error for step in steps if (error := left_by(step, cell))]
    if errors:
        raise errors[0]


def left_by(step: RevisionStep, cell: Cell) -> RowsLeft | Unasked | None:
    """Do *step*, and return its error if it left rows and mended all others."""
    try:
        step.migration_fn(cell=cell)
    except (RowsLeft, Unasked) as error:
        return error
    return None


def unrecorded(cell: Cell, revision: str) -> list[RevisionStep]:
    """Return the steps to *revision* of a cell that has mappings and no revision.

    A run that ended without recording 0001 leaves mappings behind, and Alembic does no
    step of a downgrade to base where no revision is recorded.
    """
    if revision != BASE:
        return []
    if versions.stamped(cell.api, cell.mapping.uuid) or not journal.exists(cell.api):
        return []
    steps = versions.downgrade_steps(BASE, [versions.head()])
    ours = any(removes(step) and inserted(step, cell) for step in steps)
    return steps if ours else []


def inserted(step: RevisionStep, cell: Cell) -> bool:
    """Return True if there is a mapping that the revision of *step* inserted."""
    ours = journal.inserted_by(cell.mapping, step.revision.revision)
    return bool(cell.api.read(sa.select(instance_mappings.c.id).where(ours).limit(1)))


def removes(step: RevisionStep) -> bool:
    """Return True if the script of *step* says that its downgrade removes mappings."""
    return bool(getattr(step.revision.module, "removes_mappings", False))
