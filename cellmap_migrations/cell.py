"""The cell: what a version script is handed. Its verbs are what scripts can say."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from cellmap_migrations import progress
from cellmap_migrations.bookkeeping import journal, tables, version
from cellmap_migrations.comparing import evidence, proof
from cellmap_migrations.comparing.differences import COMPARED, Kind
from cellmap_migrations.copying import plans, preflight
from cellmap_migrations.copying.ask import OtherCells
from cellmap_migrations.copying.batches import Batches
from cellmap_migrations.copying.unmap import unmap
from cellmap_migrations.copying.walk import walk
from cellmap_migrations.errors import MappingsInUse, SchemaTooOld
from cellmap_migrations.throttling.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cellmap_migrations.databases import Database
    from cellmap_migrations.directory import CellMapping
    from cellmap_migrations.identities import Identities
    from cellmap_migrations.reporting import Report
    from cellmap_migrations.settings import Settings
    from cellmap_migrations.stopping import Stopping


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
        self.others = OtherCells(self.cells, api, settings, stopping)
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

    def map_instances(self, revision: str, columns: Mapping[str, plans.Source]) -> None:
        """Give every instance of the cell its mapping, and prove that it has one.

        *columns* says where each column of ``instance_mappings`` comes from: a column
        of ``instances`` by name, or SQL made from that table. Columns that this API
        schema does not have yet are left out.

        Resumes after the last committed batch. Raises RowsLeft, Unasked or Stopped,
        among others, and then the revision is not stamped.
        """
        plan = plans.make(columns, api=self.api, cell=self.source)
        preflight.refuse_copy(self, plan)
        evidence.refuse_displaced(self, plan)
        self.prepare()
        batches = Batches(self, revision)
        walk(self, plan, batches)
        proof.prove_mapped(batches, plan)

    def reconcile(
        self, revision: str, column: str, source: plans.Source, *, before: str
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
        preflight.refuse_copy(self, plan)
        evidence.refuse_displaced(self, plan)
        self.prepare()
        proof.prove_column(Batches(self, revision), plan, Kind(column))

    def plan_column(
        self, revision: str, column: str, source: plans.Source, *, before: str
    ) -> plans.Plan:
        """Return the plan of a revision for *column*; raise SchemaTooOld without it."""
        columns = {**COMPARED, column: source}
        plan = plans.make(columns, api=self.api, cell=self.source)
        if column not in plan.columns:
            raise SchemaTooOld([f"instance_mappings.{column}"], revision, before)
        return plan

    def forget(self, revision: str) -> None:
        """Let *revision* be done again from the start; nothing is taken back."""
        tables.create_tables(self.api)
        Batches(self, revision).rewind()

    def start_over(self) -> None:
        """Forget the recorded revision and each walk; no mapping is removed."""
        version.forget(self.api, self.mapping.uuid)
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
        preflight.warn_of_another_database(self)

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
