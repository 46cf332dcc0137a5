"""What a run says at its end: text for people, one JSON object for programs."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cellmap_migrations.bookkeeping.tables import COUNTS
from cellmap_migrations.errors import SEVERITY, CellmapError
from cellmap_migrations.outcomes import Outcome
from cellmap_migrations.secrets import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


# From how many rows on a rate says something.
MANY = 20_000


@dataclass
class Report:
    """What this run did to one cell."""

    cell: str | None = None
    name: str | None = None
    revision: str | None = None
    counts: Counter[str] = field(default_factory=Counter)
    listing: list[str] = field(default_factory=list)
    results: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    # Rows that count for max_rows: instances walked, and mappings changed otherwise.
    spent: int = 0
    started: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    ended: bool = False
    error: CellmapError | None = None

    @property
    def rows(self) -> int:
        """How many rows of the cell were looked at."""
        return sum(self.counts[outcome.value] for outcome in Outcome)

    @property
    def code(self) -> int:
        """The exit code of this cell."""
        return self.error.code if self.error else 0

    @property
    def label(self) -> str:
        """The name and uuid of the cell."""
        return f"{self.name} ({self.cell})" if self.name else str(self.cell)

    def names_itself(self) -> bool:
        """Say whether the results begin with the name of the cell."""
        return one_line(self.results[0]).startswith(one_line(f"cell {self.label}:"))

    @property
    def outcomes(self) -> str:
        """The counts that are not 0, for a person."""
        told = spell(self.counts)
        return f"dry run: {told}" if told and "dry_run" in self.details else told

    def count(self, counts: Counter[str]) -> None:
        """Add a committed batch."""
        self.counts.update(counts)

    def leave(self, counts: Mapping[str, int], listing: Iterable[str]) -> None:
        """Record what is left in the end; it counts for more than the walk."""
        for name, count in counts.items():
            self.counts[name] = count
        # A run that lost its connection comes here a second time.
        self.listing += [line for line in listing if line not in self.listing]

    def end(self, error: CellmapError | None = None) -> None:
        """Stop the clock."""
        self.seconds = time.monotonic() - self.started
        self.ended = True
        self.error = error

    def as_dict(self) -> dict[str, Any]:
        """Return what ``output=json`` shows of the cell."""
        return {
            "cell": self.cell,
            "name": self.name,
            "revision": self.revision,
            **{name: self.counts[name] for name in COUNTS},
            **self.details,
            "complete": self.code == 0,
            "seconds": round(self.seconds, 3),
            "rows_per_second": round(self.rows / self.seconds) if self.seconds else 0,
            "exit_code": self.code,
            "reason": str(self.error) if self.error else "",
        }

    def summary(self) -> str:
        """Return the line that tells a person what was done, or nothing."""
        if not self.outcomes:
            return ""
        took = f"{self.label}: {self.outcomes} in {self.seconds:.1f} s"
        # The rate of a few rows is that of start-up and of waiting.
        if self.rows < MANY:
            return took
        return f"{took} ({self.rows / self.seconds:,.0f} rows/s)"


def spell(counts: Mapping[str, Any]) -> str:
    """Return the counts that are not 0, for a person."""
    return ", ".join(f"{counts[name]:,} {name}" for name in COUNTS if counts[name])


def ranked(errors: Iterable[CellmapError]) -> list[CellmapError]:
    """Return *errors*, the gravest last."""
    return sorted(errors, key=lambda error: SEVERITY.index(error.code))


def gravest(errors: Iterable[CellmapError]) -> int:
    """Return the exit code of the gravest of *errors*, or 0 without any."""
    return next((error.code for error in reversed(ranked(errors))), 0)


def worst(reports: Sequence[Report]) -> int:
    """Return the gravest exit code of several cells."""
    return gravest(report.error for report in reports if report.error)


def lines(reports: Sequence[Report]) -> list[str]:
    """Return what a person is told of each cell."""
    found = []
    for report in reports:
        # What a check finds does not say where, and of one cell need not.
        if len(reports) > 1 and report.results and not report.names_itself():
            found.append(f"cell {report.label}:")
        found += filter(None, (report.summary(), *report.results))
    return found
