"""Record the result of a run on a cell, and print it as text or as JSON."""

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


# The rate of fewer rows than these is mostly that of starting and waiting.
MANY = 20_000


@dataclass
class Report:
    """Hold the result of this run on one cell.

    *results* are lines for stdout, *listing* lines for stderr, and *details* more
    members of the JSON object.
    """

    cell: str | None = None
    name: str | None = None
    revision: str | None = None
    counts: Counter[str] = field(default_factory=Counter)
    listing: list[str] = field(default_factory=list)
    results: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    # Rows that count against max_rows: the instances of the walk, and the mappings
    # that were corrected or removed.
    spent: int = 0
    started: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    ended: bool = False
    error: CellmapError | None = None

    @property
    def rows(self) -> int:
        """Return the number of instances that have an outcome."""
        return sum(self.counts[outcome.value] for outcome in Outcome)

    @property
    def code(self) -> int:
        """Return the exit code of this cell."""
        return self.error.code if self.error else 0

    @property
    def age(self) -> float:
        """Return the seconds since the clock was stopped."""
        return time.monotonic() - self.started - self.seconds

    @property
    def label(self) -> str:
        """Return the name and uuid of the cell."""
        return f"{self.name} ({self.cell})" if self.name else str(self.cell)

    def names_itself(self) -> bool:
        """Return True if the results begin with the name of the cell."""
        return one_line(self.results[0]).startswith(one_line(f"cell {self.label}:"))

    @property
    def outcomes(self) -> str:
        """Return the counts that are not 0, as text."""
        text = spell(self.counts)
        return f"dry run: {text}" if text and "dry_run" in self.details else text

    def count(self, counts: Counter[str], spent: int = 0) -> None:
        """Add the counts of a batch, and the rows *spent* of ``max_rows``."""
        self.counts.update(counts)
        self.spent += spent

    def set_leftovers(self, counts: Mapping[str, int], listing: Iterable[str]) -> None:
        """Record the remaining differences; their counts replace those of the walk."""
        for name, count in counts.items():
            self.counts[name] = count
        # A run that lost its connection records them a second time.
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
        """Return the cell's JSON object for ``output=json``."""
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
        """Return the line of the counts, or an empty text without any."""
        if not self.outcomes:
            return ""
        took = f"{self.label}: {self.outcomes} in {self.seconds:.1f} s"
        if self.rows < MANY:
            return took
        return f"{took} ({self.rows / self.seconds:,.0f} rows/s)"


def spell(counts: Mapping[str, Any]) -> str:
    """Return the counts that are not 0, as text."""
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
    """Return the results of each cell as lines of text."""
    text: list[str] = []
    for report in reports:
        # The differences of a check do not name the cell; among several it is needed.
        if len(reports) > 1 and report.results and not report.names_itself():
            text.append(f"cell {report.label}:")
        text += filter(None, (report.summary(), *report.results))
    return text


def emit(
    reports: Sequence[Report],
    *,
    as_json: bool,
    together: bool,
    error: CellmapError | None = None,
    text: Callable[[Sequence[Report]], Sequence[str]] = lines,
) -> int:
    """Print the results on stdout and the errors on stderr; return the exit code.

    The gravest error is the last line. With *together*, the JSON of all cells is one
    object. *error* is an error that ended the run outside of any cell.
    """
    for report in reports:
        # The listed rows do not name the cell; among several it is needed.
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
        # Without output=json the exit code is still that of the work.
        if as_json:
            errors.append(lost)
    # A signal or a limit ends many cells with the same message.
    for message in dict.fromkeys(map(str, ranked(errors))):
        say(f"error: {message}")
    return gravest(errors)


def summary(
    reports: Sequence[Report], errors: Sequence[CellmapError]
) -> dict[str, object]:
    """Return the JSON object of a run on several cells."""
    code = gravest(errors)
    return {
        "cells": [report.as_dict() for report in reports],
        "complete": code == 0,
        "exit_code": code,
        "reason": str(ranked(errors)[-1]) if errors else "",
    }


def tell(lines: Sequence[str], error: CellmapError | None = None) -> int:
    """Print *lines* on stdout and *error* on stderr; return the exit code.

    If there is no *error*, a failure to write the lines is the error.
    """
    try:
        for line in lines:
            write(line)
    except OutputLost as lost:
        error = error or lost
    if error:
        say(f"error: {error}")
    return error.code if error else 0


# The caller closed stdout, or the reader of the pipe has ended.
CLOSED = (errno.EBADF, errno.EPIPE)


def write(line: str) -> None:
    """Write one line to stdout; raise OutputLost if that fails.

    Nothing is written, and nothing raised, if stdout is closed.
    """
    if sys.stdout is None:
        return
    try:
        if isinstance(sys.stdout, TextIOWrapper):
            # A name may have letters that the caller's locale does not have.
            sys.stdout.reconfigure(errors="backslashreplace")
        print(one_line(line), flush=True)  # noqa: T201 - this is the output
    # Python raises ValueError for a stream that was closed.
    except ValueError:
        sys.stdout = None
    except OSError as error:
        # Else Python flushes it again at exit, and ends with an exit code of its own.
        sys.stdout = None
        if error.errno not in CLOSED:
            raise OutputLost(str(error.strerror)) from error
