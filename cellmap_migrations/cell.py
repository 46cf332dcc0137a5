"""The cell: what a version script is handed. Its verbs are what scripts can say."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from cellmap_migrations import databases, directory, progress
from cellmap_migrations.bookkeeping import tables
from cellmap_migrations.comparing import proof
from cellmap_migrations.copying import plan, preflight
from cellmap_migrations.copying.ask import OtherCells
from cellmap_migrations.copying.batches import Batches
from cellmap_migrations.copying.unmap import unmap
from cellmap_migrations.copying.walk import walk
from cellmap_migrations.errors import MappingsInUse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cellmap_migrations.databases import Database
    from cellmap_migrations.directory import CellMapping
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
    ) -> None:
        self.mapping, self.api, self.settings = mapping, api, settings
        self.stopping, self.report = stopping, report
        self.cells = {cell.id: cell for cell in cells}
        self.others = OtherCells(cells=self.cells, settings=settings, stopping=stopping)
        self.progress = progress.Display(str(mapping))
        self.keep_alive: Callable[[], None] = lambda: None

    @cached_property
    def source(self) -> Database:
        """The cell's database, opened read-only.

        Raises CellUrlUnusable, SameDatabase, Unreachable or PrivilegeMissing.
        """
        url, warning = directory.resolve(self.mapping, self.settings)
        directory.refuse_shared(
            self.mapping, url, list(self.cells.values()), self.settings
        )
        if warning:
            progress.say(f"warning: cell {self.mapping}: {warning}")
        return databases.connect(
            url,
            what=f"cell {self.mapping}",
            settings=self.settings,
            stopping=self.stopping,
            parameters=self.settings.base_parameters,
            read_only=True,
        )

    def map_instances(self, revision: str, columns: Mapping[str, plan.Source]) -> None:
        """Give every instance of the cell its mapping, and prove that it has one.

        *columns* says where each column of ``instance_mappings`` comes from: a column
        of ``instances`` by name, or SQL made from that table. Columns that this API
        schema does not have yet are left out.

        Resumes after the last committed batch. Raises RowsLeft, Unasked or Stopped,
        among others, and then the revision is not stamped.
        """
        what = plan.make(revision, columns, api=self.api, cell=self.source)
        preflight.refuse_copy(self, what)
        tables.create_tables(self.api)
        batches = Batches(self, what)
        walk(self, what, batches)
        proof.prove_mapped(self, what, batches)

    def unmap_instances(self, revision: str) -> None:
        """Remove the mappings that *revision* inserted and nobody has changed since.

        Mappings that cannot be told from nova's own are left and counted. Raises
        MappingsInUse without ``remove_mappings=yes``.
        """
        if not self.settings.remove_mappings:
            raise MappingsInUse(str(self.mapping))
        what = plan.make(revision, {}, api=self.api, cell=self.source)
        tables.create_tables(self.api)
        unmap(self, Batches(self, what))

    def pause_or_stop(self) -> None:
        """Raise Stopped where a run may end: between two batches."""
        self.stopping.check_limits()
        self.keep_alive()

    def close(self) -> None:
        """Close every connection that this cell opened."""
        opened = [*self.others.opened.values(), self.__dict__.get("source")]
        for database in filter(None, opened):
            database.engine.dispose()
