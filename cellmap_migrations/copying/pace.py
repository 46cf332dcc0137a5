"""Decide how many rows the next batch has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from cellmap_migrations.errors import Stopped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cellmap_migrations.cell import Cell

T = TypeVar("T")

# The weight of everything before the last batch, and the largest step upwards.
MEMORY = 0.75
GROWTH = 1.5
START = 1_000


@dataclass
class Pace:
    """Follows the rate of the API database so that a batch takes *seconds*."""

    seconds: float
    least: int
    most: int
    size: int = START
    rows: float = 0.0
    spent: float = 0.0

    def __post_init__(self) -> None:
        self.size = min(max(self.size, self.least), self.most)

    def learn(self, rows: int, seconds: float) -> None:
        """Take in a batch of *rows* that took *seconds*.

        The rate is smoothed, so that one fast batch does not count for much. A batch
        that took too long shrinks the next at once, and is all that is remembered:
        older, faster ones would let it grow into the slow server again. It weighs no
        more than one of the wanted time, or a stall would be felt for long. Growth is
        half as much again at the most.
        """
        seconds = max(seconds, 1e-6)
        if seconds > self.seconds:
            self.rows, self.spent = rows / seconds * self.seconds, self.seconds
        else:
            self.rows = self.rows * MEMORY + rows
            self.spent = self.spent * MEMORY + seconds
        wanted = min(self.rows / self.spent * self.seconds, self.size * GROWTH)
        self.size = int(min(max(wanted, self.least), self.most))


def pace_of(cell: Cell, rows: int = 0) -> Pace:
    """Return the pace at which batches of *cell* begin, and its limits.

    After a batch of so many *rows*, which another run settled on and learned slowly.
    """
    settings, backend = cell.settings, cell.api.backend
    least = settings.batch_rows_min
    return Pace(
        max(settings.batch_seconds, backend.batch_seconds),
        size=max(START, rows),
        least=least,
        most=settings.batch_rows_max or max(backend.batch_rows, least),
    )


def room(cell: Cell, rows: int) -> int:
    """Return how many of *rows* this run may still change; raise Stopped for none."""
    limit = cell.settings.max_rows
    if limit is None or not rows:
        return rows
    left = limit - cell.report.spent
    if left <= 0:
        raise Stopped(f"{limit} rows done (max_rows)")
    return min(rows, left)


def allowed(cell: Cell, found: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield *found* in parts that this run may change; raise Stopped at a limit.

    The time limit counts only after a part of which something was changed. A comparison
    may take longer than that, and each run has to make progress.
    """
    while found:
        spent, rows = cell.report.spent, room(cell, len(found))
        yield found[:rows]
        found = found[rows:]
        if cell.report.spent > spent:
            cell.stopping.check_limits()
