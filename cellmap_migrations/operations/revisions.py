"""Do what a version script asks for: the operations that the scripts import."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellmap_migrations.bookkeeping import journal, tables, versions
from cellmap_migrations.common.sentences import MappingsInUse, SchemaTooOld
from cellmap_migrations.comparing import evidence
from cellmap_migrations.comparing.differences import COMPARED, Kind
from cellmap_migrations.copying import plan as plans
from cellmap_migrations.copying import preflight
from cellmap_migrations.copying.batches import Batches
from cellmap_migrations.copying.pipeline import walk
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

    *columns* says where each column of ``instance_mappings`` comes from: a column
    of ``instances`` by name, or SQL made from that table. Columns that this API
    schema does not have yet are left out. A dry run only counts.

    Resumes after the last committed batch. Raises RowsLeft, Unasked or Stopped,
    among others, and then the revision is not stamped.
    """
    plan = plans.make_plan(cell, columns)
    refuse_wrong_database(cell, plan)
    if cell.settings.read_only:
        preview.count_outcomes(cell, plan)
        return
    prepare(cell)
    batches = Batches(cell, revision)
    walk(cell, plan, batches)
    proof.prove_mapped(batches, plan)


def reconcile(
    cell: Cell, revision: str, column: str, source: ColumnSource, *, before: str
) -> None:
    """Make *column* of the cell's mappings agree with the cell, and prove it.

    Finds wrong values as well as missing ones, with one comparison if there are none.
    Skips the comparison if 0001 ended, in this run, with equal checksums for this
    column. A dry run only counts. Raises SchemaTooOld where the API schema has no such
    column; *before* is the revision that can do without it.
    """
    if column in cell.equal_columns:
        return
    columns = {**COMPARED, column: source}
    plan = plans.make_plan(cell, columns)
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
    """Remove the mappings that *revision* inserted and nobody has changed since.

    Mappings that cannot be told from nova's own are left and counted. Raises
    MappingsInUse without ``remove_mappings=yes``.
    """
    if not cell.settings.remove_mappings:
        raise MappingsInUse(cell=cell.mapping)
    prepare(cell)
    unmap(cell, Batches(cell, revision))


def forget(cell: Cell, revision: str) -> None:
    """Let the next run do *revision* again from the start; remove nothing."""
    tables.create_tables(cell.api)
    Batches(cell, revision).rewind()


def start_over(cell: Cell) -> None:
    """Forget the recorded revision and each walk; remove no mapping."""
    versions.forget(cell.api, cell.mapping.uuid)
    for revision in journal.revisions(cell.api, cell.mapping.uuid):
        forget(cell, revision)


def refuse_wrong_database(cell: Cell, plan: Plan) -> None:
    """Raise CopiedCell or InstancesMissing if the cell's address seems to be wrong."""
    preflight.refuse_copy(cell, plan)
    evidence.refuse_displaced(cell, plan)


def prepare(cell: Cell) -> None:
    """Refuse what the throttle cannot measure; then create this package's tables."""
    cell.throttle.open_signals()
    tables.create_tables(cell.api)
    preflight.warn_of_another_database(cell)
