"""Collect what a run did to a cell, and print it: text or one JSON object."""

from __future__ import annotations

import errno
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any

from cellmap_migrations.bookkeeping.tables import COUNTS
from cellmap_migrations.common.errors import SEVERITY, CellmapError, OutputLost
from cellmap_migrations.common.secrets import one_line
from cellmap_migrations.common.stderr import say
from cellmap_migrations.nova.rules import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence


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

    def end(
        self, error: CellmapError | None = None, revision: str | None = None
    ) -> None:
        """Stop the clock, and record the error and, if it is known, the revision."""
        self.revision = revision or self.revision
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


# The caller closed stdout, or nobody reads it any more.
CLOSED = (errno.EBADF, errno.EPIPE)


def emit(
    reports: Sequence[Report],
    *,
    as_json: bool,
    together: bool,
    error: CellmapError | None = None,
    text: Callable[[Sequence[Report]], Sequence[str]] = lines,
) -> int:
    """Print the result on stdout, and problems on stderr with the gravest last.

    *together* is for several cells: their JSON is one object with a list of cells.
    *error* is what ended such a run outside of any cell. Returns the exit code.
    """
    for report in reports:
        # What is listed does not say where, and of one cell need not.
        if len(reports) > 1 and report.listing:
            say(f"cell {report.label}:")
        for line in report.listing:
            say(line)
    errors = [each for each in (*(report.error for report in reports), error) if each]
    try:
        if as_json:
            found = summary(reports, errors) if together else reports[0].as_dict()
            write(json.dumps(found))
        else:
            for line in text(reports):
                write(line)
    except OutputLost as lost:
        # A person is told by the exit code what was done, a program by the JSON only.
        if as_json:
            errors.append(lost)
    # A signal or a limit ends many cells with the same words.
    for message in dict.fromkeys(map(str, ranked(errors))):
        say(f"error: {message}")
    return gravest(errors)


def summary(
    reports: Sequence[Report], errors: Sequence[CellmapError]
) -> dict[str, object]:
    """Return what JSON shows of a run on several cells."""
    code = gravest(errors)
    return {
        "cells": [report.as_dict() for report in reports],
        "complete": code == 0,
        "exit_code": code,
        "reason": str(ranked(errors)[-1]) if errors else "",
    }


def tell(lines: Sequence[str], error: CellmapError | None = None) -> int:
    """Print *lines*, and *error* or that they did not arrive; return the exit code."""
    try:
        for line in lines:
            write(line)
    except OutputLost as lost:
        error = error or lost
    if error:
        say(f"error: {error}")
    return error.code if error else 0


def write(line: str) -> None:
    """Write one line to stdout, if there is one; raise OutputLost if that fails."""
    if sys.stdout is None:
        return
    try:
        if isinstance(sys.stdout, TextIOWrapper):
            # A name may have letters that the locale of a hook does not have.
            sys.stdout.reconfigure(errors="backslashreplace")
        print(one_line(line), flush=True)  # noqa: T201 - this is the output
    # What Python says of a stream that was closed.
    except ValueError:
        sys.stdout = None
    except OSError as error:
        # Python would try again at its end, and end with a code of its own.
        sys.stdout = None
        if error.errno not in CLOSED:
            raise OutputLost(str(error.strerror)) from error
