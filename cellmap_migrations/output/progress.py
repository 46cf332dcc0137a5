"""Show how far a run is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cellmap_migrations.common.secrets import one_line
from cellmap_migrations.common.stderr import say

if TYPE_CHECKING:
    from collections.abc import Iterator


# Seconds between two lines where stderr is no terminal: some deployment tools log
# every line of it as a warning.
QUIET = 30.0

# How much of a cell's name leaves room for a bar on a terminal of 80 columns.
NAME = 24

# Called with the rows of a batch and the id that it reached.
Reached = Callable[[int, int], None]


class Display:
    """Writes progress to stderr; it may be closed, and nothing is lost with it."""

    def __init__(
        self, cell: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.cell = one_line(cell)
        self.clock, self.printed = clock, clock()
        self.terminal = (
            sys.stderr is not None and sys.stderr.isatty() and bars().possible()
        )
        self.show_pause: Callable[[str], None] | None = None

    def paused(self, reason: str) -> None:
        """Show why nothing happens; no *reason* means that it goes on."""
        if self.show_pause:
            self.show_pause(reason)
        elif reason:
            self.line(f"{self.cell}: paused: {reason}")

    def line(self, text: str) -> None:
        """Print a line if the last one is old."""
        if self.clock() - self.printed >= QUIET:
            self.printed = self.clock()
            say(text)

    @contextmanager
    def walking(
        self, start: int, bound: int, verb: str = "mapping"
    ) -> Iterator[Reached]:
        """Yield a function to call with the rows of a batch and the id it reached."""
        if self.terminal:
            with self.bar(start, bound, verb) as reached:
                yield reached
        else:
            yield self.lines(start, bound, verb)

    @contextmanager
    def bar(self, start: int, bound: int, verb: str) -> Iterator[Reached]:
        """Draw a bar; its length is the walk's distance in ids."""
        total = Rate(self.clock)
        doing = f"{verb} {self.cell[:NAME]}"
        with bars().drawn(doing, max(bound - start, 1)) as update:

            def reached(rows: int, upto_id: int) -> None:
                total.add(rows)
                update(completed=upto_id - start, rows=str(total))

            def paused(reason: str) -> None:
                now = one_line(f"paused: {reason}") if reason else doing
                update(description=now, refresh=True)

            self.show_pause = paused
            try:
                yield reached
            finally:
                self.show_pause = None

    def lines(self, start: int, bound: int, verb: str) -> Reached:
        """Return a function that prints a line when the last one is old."""
        total = Rate(self.clock)
        self.printed = self.clock()

        def reached(rows: int, upto_id: int) -> None:
            total.add(rows)
            share = (upto_id - start) / max(bound - start, 1)
            left = total.elapsed * (1 - share) / share if share else 0.0
            self.line(
                f"{verb} {self.cell}: {share:.0%}, {total}, about {left:.0f} s left"
            )

        return reached


def bars() -> Any:
    """Return the module that draws bars.

    What it imports takes as long as connecting, and most runs have no terminal.
    """
    return importlib.import_module("cellmap_migrations.output.bar")


class Rate:
    """Rows so far, and how many a second."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock, self.started, self.rows = clock, clock(), 0

    def add(self, rows: int) -> None:
        """Count *rows* more."""
        self.rows += rows

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return max(self.clock() - self.started, 1e-6)

    def __str__(self) -> str:
        return f"{self.rows:,} rows, {self.rows / self.elapsed:,.0f} rows/s"
