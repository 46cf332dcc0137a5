"""What a run says at its end: text for people, one JSON object for programs."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cellmap_migrations.bookkeeping.tables import COUNTS
from cellmap_migrations.errors import SEVERITY, CellmapError
from cellmap_migrations.outcomes import Outcome
from cellmap_migrations.progress import say

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
    started: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    error: CellmapError | None = None

    @property
    def rows(self) -> int:
        """How many rows of the cell were looked at."""
        return sum(self.counts[outcome.value] for outcome in Outcome)

    @property
    def code(self) -> int:
        """The exit code of this cell."""
        return self.error.code if self.error else 0

    def count(self, counts: Counter[str]) -> None:
        """Add a committed batch."""
        self.counts.update(counts)

    def leave(self, counts: Mapping[str, int], listing: Iterable[str]) -> None:
        """Record what is left in the end; it counts for more than the walk."""
        for name, count in counts.items():
            self.counts[name] = count
        self.listing += listing

    def end(self, error: CellmapError | None = None) -> None:
        """Stop the clock."""
        self.seconds = time.monotonic() - self.started
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
        done = [f"{self.counts[name]:,} {name}" for name in COUNTS if self.counts[name]]
        if not done:
            return ""
        label = f"{self.name} ({self.cell})" if self.name else self.cell
        took = f"{label}: {', '.join(done)} in {self.seconds:.1f} s"
        # The rate of a few rows is that of start-up and of waiting.
        if self.rows < MANY:
            return took
        return f"{took} ({self.rows / self.seconds:,.0f} rows/s)"


def worst(reports: Sequence[Report]) -> int:
    """Return the gravest exit code of several cells."""
    return max((report.code for report in reports), key=SEVERITY.index, default=0)


def emit(reports: Sequence[Report], *, as_json: bool, together: bool) -> None:
    """Print the result on stdout, and problems on stderr with the error last.

    *together* is for ``cell=all``: its JSON is one object with a list of cells.
    """
    for report in reports:
        for line in report.listing:
            say(line)
    if as_json:
        everything = [report.as_dict() for report in reports]
        code = worst(reports)
        result = {"cells": everything, "complete": code == 0, "exit_code": code}
        write(json.dumps(result if together else everything[0]))
    else:
        for report in reports:
            for line in filter(None, (report.summary(), *report.results)):
                write(line)
    for report in sorted(reports, key=lambda report: SEVERITY.index(report.code)):
        if report.error:
            say(f"error: {report.error}")


def write(line: str) -> None:
    """Write one line to stdout, if there is one."""
    if sys.stdout is not None:
        try:
            print(line, flush=True)  # noqa: T201 - this is the output
        except (OSError, ValueError):
            sys.stdout = None
