"""Define the content of a report, without a word about its looks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class Lost:
    """Hold the numbers of live servers for which nova answers 404.

    *before* is without the runs of this package, as far as the journal tells. *after*
    is after the next upgrade or repair, before an operator has decided anything.
    """

    before: int
    now: int
    after: int


@dataclass(frozen=True, kw_only=True)
class CellSummary:
    """Hold the state of one cell.

    *outcomes* are counts since the last walk began. *proved_at* is the time at which a
    comparison had proved the revision, or None. *problem* says why the cell could not
    be read or compared, or why its revision is doubtful. *instances*, *needing* and
    *mapped* are None if nothing is known about them; *lost* is None without a
    comparison. Times are UTC.
    """

    uuid: str
    name: str
    revision: str | None
    state: str
    database: str
    problem: str = ""
    instances: int | None = None
    needing: int | None = None
    mapped: int | None = None
    lost: Lost | None = None
    compared: bool = False
    undecided: int = 0
    correctable: Mapping[str, int] = field(default_factory=dict)
    correction: str = ""
    outcomes: Mapping[str, int] = field(default_factory=dict)
    rows_per_second: int = 0
    seconds_left: int | None = None
    runner: str = ""
    proved_at: datetime | None = None

    @property
    def good(self) -> bool:
        """Return True if nobody has to do anything about the cell."""
        needs_work = self.undecided or self.correctable or self.problem
        return self.state == "complete" and not needs_work

    @property
    def share(self) -> float | None:
        """Return the share of the instances whose mapping nova can use, from 0 to 1."""
        if self.needing is None or self.mapped is None:
            return None
        return self.mapped / self.needing if self.needing else 1.0


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Hold a row that an operator decides about, and the command that decides it."""

    cell: str
    kind: str
    uuid: str
    why: str
    command: str


@dataclass(frozen=True, kw_only=True)
class PauseSpan:
    """Hold a pause of a run, and its last reason."""

    start: datetime
    end: datetime
    reason: str

    @property
    def seconds(self) -> float:
        """Return the length of the pause."""
        return (self.end - self.start).total_seconds()


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """Hold the newest runs of a cell: points of time with rows/s and rows a batch."""

    cell: str
    start: datetime
    end: datetime
    throughput: Sequence[tuple[datetime, float]]
    batch_rows: Sequence[tuple[datetime, float]]
    pauses: Sequence[PauseSpan] = ()
    batches: int = 0
    rows: int = 0


@dataclass(frozen=True, kw_only=True)
class Page:
    """Hold the content of a report. *decisions* may be fewer than *undecided*."""

    written: datetime
    api: str
    compared: bool
    cells: Sequence[CellSummary]
    decisions: Sequence[Decision] = ()
    timelines: Sequence[Timeline] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    servers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def undecided(self) -> int | None:
        """Return the number of rows that an operator decides about, in all cells.

        None if no cell was compared.
        """
        found = [cell.undecided for cell in self.cells if cell.compared]
        return sum(found) if found else None

    @property
    def uncompared(self) -> int:
        """Return the number of cells that should have been compared and were not."""
        return sum(not cell.compared for cell in self.cells) if self.compared else 0

    @property
    def active(self) -> list[CellSummary]:
        """Return the cells for which a batch was committed in the last minute."""
        return [cell for cell in self.cells if cell.state == "active"]

    @property
    def good(self) -> int:
        """Return the number of cells about which nobody has to do anything."""
        return sum(cell.good for cell in self.cells)

    def total(self, name: str) -> int | None:
        """Return the sum of an attribute of the cells; None if no cell knows it."""
        known = [
            value for cell in self.cells if (value := getattr(cell, name)) is not None
        ]
        return sum(known) if known else None

    @property
    def share(self) -> float | None:
        """Return the share of the instances of all cells that are mapped."""
        needing, mapped = self.total("needing"), self.total("mapped")
        if needing is None or mapped is None:
            return None
        return mapped / needing if needing else 1.0

    @property
    def lost(self) -> Lost | None:
        """Return the sums of all cells that were compared, or None without any."""
        found = [cell.lost for cell in self.cells if cell.lost]
        if not found:
            return None
        return Lost(
            before=sum(each.before for each in found),
            now=sum(each.now for each in found),
            after=sum(each.after for each in found),
        )
