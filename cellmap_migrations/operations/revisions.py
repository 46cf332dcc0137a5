"""Define the operations that version scripts call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellmap_migrations.bookkeeping import journal, tables, versions
from cellmap_migrations.common.sentences import MappingsInUse, SchemaTooOld
from cellmap_migrations.comparing import evidence
from cellmap_migrations.comparing.differences import COMPARED, Kind
from cellmap_migrations.copying import preflight
from cellmap_migrations.copying.batches import Batches
from cellmap_migrations.copying.pipeline import walk
from cellmap_migrations.copying.plan import make_plan
from cellmap_migrations.operations import preview, proof
from cellmap_migrations.operations.unmap import unmap

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cellmap_migrations.cell.cell import Cell
    from cellmap_migrations.copying.plan import ColumnSource, Plan


def map_instances(
    cell: Cell, revision: str, columns: Mapping[str, ColumnSource]
) -> None:
    """Give every instance of the cell its mapping, and prove that it has one.

    *columns* has the source of each column of ``instance_mappings``: the name of a
    column of ``instances``, or a function that makes SQL from that table. Columns that
    this API schema does not have are left out. A dry run counts the outcomes.

    A repeated run resumes after the last committed batch. Raises RowsLeft, Unasked or
    Stopped, among others; then the revision is not stamped.
    """
    plan = make_plan(cell, columns)
    refuse_wrong_database(cell, plan)
    if cell.settings.read_only:
        preview.count_outcomes(cell, plan)
        return
    prepare(cell)
    batches = Batches(cell, revision)
    walk(cell, plan, batches)
    proof.prove_mapped(batches, plan)
    cell.proofs[revision] = batches.committed


def reconcile(
    cell: Cell, revision: str, column: str, source: ColumnSource, *, before: str
) -> None:
    """Make *column* of the cell's mappings agree with the cell, and prove it.

    Both missing and wrong values are corrected. Skips the comparison if 0001 ended, in
    this run, with equal checksums for this column. A dry run counts the wrong values.
    Raises SchemaTooOld if the API schema has no such column; the message names
    *before*, the last revision that does not need it.
    """
    if column in cell.equal_columns:
        return
    columns = {**COMPARED, column: source}
    plan = make_plan(cell, columns)
    if column not in plan.columns:
        raise SchemaTooOld(
            revision=revision, missing=f"instance_mappings.{column}", before=before
        )
    refuse_wrong_database(cell, plan)
    if cell.settings.read_only:
        preview.count_wrong_values(cell, plan, column)
        return
    prepare(cell)
    proof.prove_column(Batches(cell, revision), plan, Kind(column))


def unmap_instances(cell: Cell, revision: str) -> None:
    """Remove the mappings that *revision* inserted, unless they were changed since.

    Mappings that nova may have written are left and counted. If this is stopped, and an
    upgrade follows, that walks the cell again. Raises MappingsInUse without
    ``remove_mappings=yes``.
    """
    if not cell.settings.remove_mappings:
        raise MappingsInUse(cell=cell.mapping)
    prepare(cell)
    versions.doubt_stamp(cell.api, cell.mapping.uuid)
    unmap(cell, Batches(cell, revision))


def forget(cell: Cell, revision: str) -> None:
    """Let the next run do *revision* from the start. No mapping is removed."""
    tables.create_tables(cell.api)
    Batches(cell, revision).rewind()


def start_over(cell: Cell) -> None:
    """Forget the recorded revision and the checkpoint of each revision of *cell*.

    No mapping is removed.
    """
    versions.delete_stamp(cell.api, cell.mapping.uuid)
    for revision in journal.revisions(cell.api, cell.mapping.uuid):
        forget(cell, revision)


def refuse_wrong_database(cell: Cell, plan: Plan) -> None:
    """Raise CopiedCell or InstancesMissing if the cell has a wrong database."""
    preflight.refuse_copy(cell, plan)
    evidence.refuse_displaced(cell, plan)


def prepare(cell: Cell) -> None:
    """Open the signals of the throttle; then create this package's tables.

    Raises BadOption or PrivilegeMissing for a signal that cannot be measured.
    """
    cell.throttle.open_signals()
    tables.create_tables(cell.api)
    preflight.warn_of_another_database(cell)
