"""Show how far a run is: a bar on a terminal, a line every 30 seconds elsewhere."""

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


# Seconds between two lines if stderr is not a terminal: some deployment tools log every
# line of stderr as a warning.
QUIET = 30.0

# Characters of a cell's name beside a bar on a terminal of 80 columns.
NAME = 24

# Called with the number of rows of a batch and the id that the batch reached.
Reached = Callable[[int, int], None]


class Display:
    """Write progress to stderr; a closed stderr does not stop the run."""

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
        """Show the *reason* of a pause; an empty one ends the pause."""
        if self.show_pause:
            self.show_pause(reason)
        elif reason:
            self.line(f"{self.cell}: paused: {reason}")

    def line(self, text: str) -> None:
        """Print *text*, unless a line was printed in the last QUIET seconds."""
        if self.clock() - self.printed >= QUIET:
            self.printed = self.clock()
            say(text)

    @contextmanager
    def walking(
        self, start: int, bound: int, verb: str = "mapping"
    ) -> Iterator[Reached]:
        """Show a walk over the ids from *start* to *bound* while the block runs.

        Yields a function to call after each batch with its rows and the id it reached.
        """
        if self.terminal:
            with self.bar(start, bound, verb) as reached:
                yield reached
        else:
            yield self.lines(start, bound, verb)

    @contextmanager
    def bar(self, start: int, bound: int, verb: str) -> Iterator[Reached]:
        """Draw a bar whose length is the distance of the walk in ids."""
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
        """Return a function that prints at most one line in QUIET seconds."""
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
    """Import the module that draws bars, for a run that has a terminal."""
    return importlib.import_module("cellmap_migrations.output.bar")


class Rate:
    """Count rows, and compute the rows per second."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock, self.started, self.rows = clock, clock(), 0

    def add(self, rows: int) -> None:
        """Add the *rows* of a batch."""
        self.rows += rows

    @property
    def elapsed(self) -> float:
        """Return the seconds since the start."""
        return max(self.clock() - self.started, 1e-6)

    def __str__(self) -> str:
        return f"{self.rows:,} rows, {self.rows / self.elapsed:,.0f} rows/s"
