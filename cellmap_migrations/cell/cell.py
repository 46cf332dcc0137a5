"""Define Cell, the context that every operation on a cell is given."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from cellmap_migrations.bookkeeping.keep_alive import KeepAlive
from cellmap_migrations.cell.control import Control
from cellmap_migrations.cell.others import OtherCells
from cellmap_migrations.cell.slowdown import Slowdown
from cellmap_migrations.cell.throttle import Throttle
from cellmap_migrations.output.progress import Display
from cellmap_migrations.output.report import Report

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cellmap_migrations.common.stopping import Stopping
    from cellmap_migrations.config.settings import Settings
    from cellmap_migrations.databases.database import Database
    from cellmap_migrations.databases.status import Identity
    from cellmap_migrations.nova.cells import CellMapping
    from cellmap_migrations.nova.identities import Identities

    Opened = tuple[Database, Identity]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Hold a cell, the API database, and the settings and the report of this run.

    *settings* are those with which the run began; operators may change some of them in
    ``control``. *cells* has every row of ``cell_mappings`` by its id. *connect* opens a
    cell's database and returns its identity. *closing* closes the databases that were
    opened for this cell.
    """

    mapping: CellMapping
    api: Database
    cells: Mapping[int, CellMapping]
    settings: Settings
    stopping: Stopping
    report: Report
    identities: Identities
    connect: Callable[[CellMapping], Opened]
    # The columns in which a comparison of this run found no difference.
    equal_columns: set[str] = field(default_factory=set)
    # The number of wrong values that a dry run of 0001 has counted, by column.
    wrong_values: Counter[str] = field(default_factory=Counter)
    # By revision: raises AnotherRun if another run has committed a batch since the
    # last proof.
    proofs: dict[str, Callable[[], object]] = field(default_factory=dict)
    keep_alive: KeepAlive = field(default_factory=KeepAlive)
    closing: ExitStack = field(default_factory=ExitStack)
    # Empty until ``opened`` is read; then its value.
    opened_once: list[Opened] = field(default_factory=list)

    @property
    def opened(self) -> Opened:
        """Return the cell's database, opened read-only at first use, and its identity.

        Raises CellUrlUnusable, SameDatabase, Unreachable or PrivilegeMissing.
        """
        # Not a cached_property: up to Python 3.11 all objects share its lock, and
        # threads open several cells at once.
        if not self.opened_once:
            database, identity = self.connect(self.mapping)
            self.closing.callback(database.close)
            self.opened_once.append((database, identity))
        return self.opened_once[0]

    @property
    def database(self) -> Database:
        """Return the cell's database. Raises the errors of ``opened``."""
        return self.opened[0]

    @property
    def database_name(self) -> str:
        """Return the server's name of the database; empty if it is not open."""
        return self.opened_once[0][1].name if self.opened_once else ""

    @cached_property
    def others(self) -> OtherCells:
        """Return the databases of the other cells, each opened when first used."""
        others = OtherCells(
            cells=self.cells,
            api=self.api,
            settings=self.settings,
            stopping=self.stopping,
        )
        self.closing.callback(others.close)
        return others

    @cached_property
    def progress(self) -> Display:
        """Return the progress bar, or the lines that replace it."""
        return Display(self.mapping.name or self.mapping.uuid)

    @cached_property
    def control(self) -> Control:
        """Return the requests of operators, and the settings of the moment."""
        return Control(self.api, self.mapping, self.settings)

    @cached_property
    def throttle(self) -> Throttle:
        """Return the throttle, which pauses between two batches."""
        throttle = Throttle(
            control=self.control,
            api=self.api,
            slowdown=Slowdown(self.control, self.api),
            keep_alive=self.keep_alive,
            show=self.progress.paused,
        )
        self.closing.callback(throttle.close)
        return throttle


def make_cell(mapping: CellMapping, identities: Identities) -> Cell:
    """Return the Cell of *mapping*; its database is opened when first used."""
    return Cell(
        mapping=mapping,
        api=identities.api,
        cells={each.id: each for each in identities.mappings},
        settings=identities.settings,
        stopping=identities.stopping,
        report=Report(cell=mapping.uuid, name=mapping.name),
        identities=identities,
        connect=identities.opened,
    )
