"""Hold what the work on one cell needs."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from cellmap_migrations.bookkeeping import journal, tables, versions
from cellmap_migrations.cell.others import OtherCells
from cellmap_migrations.cell.throttle import Throttle
from cellmap_migrations.common.errors import MappingsInUse, SchemaTooOld
from cellmap_migrations.comparing import evidence
from cellmap_migrations.comparing.differences import COMPARED, Kind
from cellmap_migrations.copying.batches import Batches
from cellmap_migrations.copying.pipeline import walk
from cellmap_migrations.copying.plan import (
    ColumnSource,
    Plan,
    make_plan,
    refuse_copy,
    warn_of_another_database,
)
from cellmap_migrations.operations import proof
from cellmap_migrations.operations.unmap import unmap
from cellmap_migrations.output import progress

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cellmap_migrations.common.stopping import Stopping
    from cellmap_migrations.config.settings import Settings
    from cellmap_migrations.databases.database import Database
    from cellmap_migrations.nova.cells import CellMapping
    from cellmap_migrations.nova.identities import Identities
    from cellmap_migrations.output.report import Report


class Cell:
    """One cell while revisions are applied to it.

    The cell's own database is opened when a verb first needs it, and only read.
    """

    def __init__(
        self,
        mapping: CellMapping,
        *,
        api: Database,
        cells: Sequence[CellMapping],
        settings: Settings,
        stopping: Stopping,
        report: Report,
        identities: Identities,
    ) -> None:
        self.mapping, self.api, self.settings = mapping, api, settings
        self.stopping, self.report = stopping, report
        self.identities = identities
        # Empty until the cell's database is open.
        self.database_name = ""
        self.cells = {cell.id: cell for cell in cells}
        self.others = OtherCells(cells=self.cells, settings=settings, stopping=stopping)
        self.progress = progress.Display(mapping.name or mapping.uuid)
        # The columns in which this run has seen no difference any more.
        self.proved: set[str] = set()
        self.keep_alive: Callable[[], None] = lambda: None
        self.throttle = Throttle(
            settings=settings,
            api=api,
            # Another one for each attempt at the revisions.
            keep_alive=lambda: self.keep_alive(),  # noqa: PLW0108
            show=self.progress.paused,
        )

    @cached_property
    def source(self) -> Database:
        """The cell's database, as ``open`` returns it."""
        return self.open()

    def open(self) -> Database:
        """Return the cell's database, opened read-only.

        Raises CellUrlUnusable, SameDatabase, Unreachable or PrivilegeMissing.
        """
        database, identity = self.identities.opened(self.mapping)
        self.database_name = identity.name
        return database

    def map_instances(self, revision: str, columns: Mapping[str, ColumnSource]) -> None:
        """Give every instance of the cell its mapping, and prove that it has one.

        *columns* says where each column of ``instance_mappings`` comes from: a column
        of ``instances`` by name, or SQL made from that table. Columns that this API
        schema does not have yet are left out.

        Resumes after the last committed batch. Raises RowsLeft, Unasked or Stopped,
        among others, and then the revision is not stamped.
        """
        plan = make_plan(columns, api=self.api, cell=self.source)
        refuse_copy(self, plan)
        evidence.refuse_displaced(self, plan)
        self.prepare()
        batches = Batches(self, revision)
        walk(self, plan, batches)
        proof.prove_mapped(batches, plan)

    def reconcile(
        self, revision: str, column: str, source: ColumnSource, *, before: str
    ) -> None:
        """Make *column* of the cell's mappings agree with the cell, and prove it.

        Finds wrong values as well as missing ones, in one comparison if there are
        none, or without any if that which ended 0001, in the same run, found everything
        equal. Raises SchemaTooOld where the API schema has no such column; *before*
        is the revision that can do without it.
        """
        if column in self.proved:
            return
        plan = self.plan_column(revision, column, source, before=before)
        refuse_copy(self, plan)
        evidence.refuse_displaced(self, plan)
        self.prepare()
        proof.prove_column(Batches(self, revision), plan, Kind(column))

    def plan_column(
        self, revision: str, column: str, source: ColumnSource, *, before: str
    ) -> Plan:
        """Return the plan of a revision for *column*; raise SchemaTooOld without it."""
        columns = {**COMPARED, column: source}
        plan = make_plan(columns, api=self.api, cell=self.source)
        if column not in plan.columns:
            raise SchemaTooOld([f"instance_mappings.{column}"], revision, before)
        return plan

    def forget(self, revision: str) -> None:
        """Let *revision* be done again from the start; nothing is taken back."""
        tables.create_tables(self.api)
        Batches(self, revision).rewind()

    def start_over(self) -> None:
        """Forget the recorded revision and each walk; no mapping is removed."""
        versions.forget(self.api, self.mapping.uuid)
        for revision in journal.revisions(self.api, self.mapping.uuid):
            self.forget(revision)

    def unmap_instances(self, revision: str) -> None:
        """Remove the mappings that *revision* inserted and nobody has changed since.

        Mappings that cannot be told from nova's own are left and counted. Raises
        MappingsInUse without ``remove_mappings=yes``.
        """
        if not self.settings.remove_mappings:
            raise MappingsInUse(str(self.mapping))
        self.prepare()
        unmap(self, Batches(self, revision))

    def prepare(self) -> None:
        """Refuse what the throttle cannot measure; then create our tables."""
        self.throttle.listen()
        tables.create_tables(self.api)
        warn_of_another_database(self)

    def pause_or_stop(self, drain: Callable[[], object] = lambda: None) -> None:
        """Wait for the throttle between two batches; raise Stopped or PausedTooLong.

        *drain* ends the batches under way, before a pause.
        """
        self.stopping.check_limits()
        self.throttle.pause(drain)
        self.keep_alive()

    def close(self) -> None:
        """Close every connection that this cell opened."""
        self.throttle.close()
        opened = [*self.others.opened.values(), self.__dict__.get("source")]
        for database in filter(None, opened):
            database.close()
