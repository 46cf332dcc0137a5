"""Do a command of Alembic for one cell; refuse a downgrade that was not confirmed."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations.bookkeeping import journal, tables, versions
from cellmap_migrations.common.errors import AlembicRefused, RowsLeft, TryAgain, Unasked
from cellmap_migrations.common.sentences import MappingsInUse
from cellmap_migrations.nova.tables import instance_mappings
from cellmap_migrations.operations import lasting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from alembic.runtime.environment import EnvironmentContext
    from alembic.runtime.migration import MigrationContext, RevisionStep

    from cellmap_migrations.cell.cell import Cell

BASE = "base"


def upgrade(cell: Cell, environment: EnvironmentContext) -> None:
    """Apply the revisions that the cell lacks; apply all if its mappings are lost."""
    lasting.forget_outlived(cell)
    migrate(cell, environment, proved=True)


def preview(cell: Cell, revision: str) -> None:
    """Count the changes of ``upgrade`` and raise its errors; write nothing."""
    cell.report.details["dry_run"] = True
    versions.refuse_malformed(revision)
    heads = (
        ()
        if lasting.lost(cell)
        else versions.current_heads(cell.api, cell.mapping.uuid)
    )
    apply(versions.upgrade_steps(revision, heads), cell)


def downgrade(cell: Cell, environment: EnvironmentContext, revision: str) -> None:
    """Downgrade to *revision*.

    Raises MappingsInUse before the first step if a step removes mappings and the
    settings do not allow it.
    """
    more = unrecorded_steps(cell, revision)
    if not cell.settings.remove_mappings:
        heads = versions.current_heads(cell.api, cell.mapping.uuid)
        steps = versions.downgrade_steps(revision, heads)
        if any(removes_mappings(step) for step in (*steps, *more)):
            raise MappingsInUse(cell=cell.mapping)
    migrate(cell, environment, more)


def stamp(
    cell: Cell,
    environment: EnvironmentContext,
    revisions: Sequence[str],
    *,
    purge: bool,
) -> None:
    """Record the one revision in *revisions*; *purge* first deletes the recorded one.

    Raises AlembicRefused for several *revisions*.
    """
    if len(revisions) > 1:
        raise AlembicRefused("a cell has one revision; stamp one of them")
    tables.create_tables(cell.api)
    migrate(cell, environment, purged=purge)


def migrate(
    cell: Cell,
    environment: EnvironmentContext,
    unrecorded: Sequence[RevisionStep] = (),
    **recording: bool,
) -> None:
    """Do the steps in *unrecorded*; then let Alembic do and record its steps.

    *recording* are the *proved* and *purged* of ``migrate_once``.
    """
    # The connection to the version table may be lost while a cell is copied. A second
    # attempt finds all rows copied, and takes only the time of the comparison.
    cell.api.retry(partial(migrate_once, cell, environment, unrecorded, **recording))


def migrate_once(
    cell: Cell,
    environment: EnvironmentContext,
    unrecorded: Sequence[RevisionStep],
    *,
    proved: bool = False,
    purged: bool = False,
) -> None:
    """Do one attempt of ``migrate``; raise if a connection is lost.

    *proved*: each step compares the cell before it is recorded. *purged*: the recorded
    revision is deleted first.
    """
    with (
        versions.verifying_stamp(cell.api, cell.mapping, purged=purged) as remember,
        versions.connection(cell.api, cell.mapping, proved=proved) as connection,
        cell.keep_alive.watching(connection),
    ):
        environment.configure(
            connection,
            version_table=tables.versions.name,
            on_version_apply=partial(accept_record, cell, remember),
            # The first operation that writes creates the tables, after its checks.
            dont_mutate=True,
        )
        migration = environment.get_context()
        with migration.begin_transaction():
            apply(unrecorded, cell)
            apply_and_record(migration, cell)


def accept_record(cell: Cell, remember: Callable[..., None], **recorded: Any) -> None:
    """Pass what Alembic *recorded* to *remember*; forget it if it is no longer proved.

    A downgrade may have removed the mappings after they were compared. A downgrade that
    removes them later finds the revision, and removes its record as well. Raises
    AnotherRun if another run has written since the proof.
    """
    remember(**recorded)
    try:
        for still_proved in cell.proofs.values():
            still_proved()
    except TryAgain:
        versions.delete_stamp(cell.api, cell.mapping.uuid)
        raise
    cell.proofs.clear()


def apply_and_record(migration: MigrationContext, cell: Cell) -> None:
    """Let Alembic do and record its steps; if one leaves rows, do the others as well.

    A step that leaves rows raises, so Alembic records neither that step nor the later
    ones. The later steps are still useful, because they correct all other rows. Raises
    RowsLeft or Unasked after the last step.
    """
    try:
        migration.run_migrations(cell=cell)
    except (RowsLeft, Unasked):
        todo = migration.opts["fn"](migration.get_current_heads(), migration)
        apply(list(todo)[1:], cell)
        raise


def apply(steps: Iterable[RevisionStep], cell: Cell) -> None:
    """Do all *steps*, record none, then raise the first RowsLeft or Unasked."""
    errors = [error for step in steps if (error := apply_one(step, cell))]
    if errors:
        raise errors[0]


def apply_one(step: RevisionStep, cell: Cell) -> RowsLeft | Unasked | None:
    """Do *step*; return its error if it left rows, or None."""
    try:
        step.migration_fn(cell=cell)
    except (RowsLeft, Unasked) as error:
        return error
    return None


def unrecorded_steps(cell: Cell, revision: str) -> list[RevisionStep]:
    """Return the downgrade steps of a cell with our mappings and no revision.

    A run that ended without recording 0001 may have inserted mappings, and Alembic does
    no step of a downgrade to base without a recorded revision.
    """
    if revision != BASE:
        return []
    if versions.current_heads(cell.api, cell.mapping.uuid) or not journal.exists(
        cell.api
    ):
        return []
    steps = versions.downgrade_steps(BASE, [versions.head()])
    ours = any(removes_mappings(step) and has_inserted(step, cell) for step in steps)
    return steps if ours else []


def has_inserted(step: RevisionStep, cell: Cell) -> bool:
    """Return True if a mapping exists that the revision of *step* inserted."""
    ours = journal.inserted_by(cell.mapping, step.revision.revision)
    return bool(cell.api.read(sa.select(instance_mappings.c.id).where(ours).limit(1)))


def removes_mappings(step: RevisionStep) -> bool:
    """Return True if the script of *step* declares ``removes_mappings``."""
    return bool(getattr(step.revision.module, "removes_mappings", False))
