"""Commit batches: the rows and the journal entry in one transaction."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa

from cellmap_migrations.bookkeeping import journal
from cellmap_migrations.bookkeeping.journal import BatchSlot
from cellmap_migrations.bookkeeping.tables import COUNTS, MENDED, REMOVED
from cellmap_migrations.common.errors import Stopped
from cellmap_migrations.common.sentences import AnotherRun
from cellmap_migrations.nova.rules import WRITTEN
from cellmap_migrations.nova.tables import instance_mappings, utcnow

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from cellmap_migrations.bookkeeping.journal import Pause
    from cellmap_migrations.cell.cell import Cell


T = TypeVar("T")

# The weight of everything before the last batch, and the largest step upwards.
MEMORY = 0.75

GROWTH = 1.5

START = 1_000


@dataclass
class BatchSize:
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


def first_batch_size(cell: Cell, rows: int = 0) -> BatchSize:
    """Return the pace at which batches of *cell* begin, and its limits.

    After a batch of so many *rows*, which another run settled on and learned slowly.
    """
    settings, backend = cell.settings, cell.api.backend
    least = settings.batch_rows_min
    return BatchSize(
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


# The counts of rows that a batch changed.
CHANGES = {outcome.value for outcome in WRITTEN} | {MENDED, REMOVED}

HIGHEST = sa.select(sa.func.max(instance_mappings.c.id))

# Writes a batch in a transaction, given its stamp, and returns the journal's counts.
Work = Callable[[sa.Connection, "datetime"], Counter[str]]

# Returns how the batch can be undone, or None, after its work is done.
Undo = Callable[[], str | None]


def nothing() -> None:
    """Do nothing, and return None."""


class Batches:
    """Knows the last batch of a revision in a cell, and commits the next one."""

    def __init__(self, cell: Cell, revision: str) -> None:
        """Go on after the last batch in the journal."""
        self.cell, self.revision = cell, revision
        last = self.last()
        self.number = last.batch if last else 0
        self.upto_id = last.upto_id if last else 0
        self.rows = last.rows_read if last else 0

    def last(self) -> Any | None:
        """Return the last entry of the revision in the journal."""
        return journal.last_batch(self.cell.api, self.cell.mapping.uuid, self.revision)

    def next(self, upto_id: int, pause: Pause) -> BatchSlot:
        """Return the place of the batch after the last one, and after a *pause*."""
        last = BatchSlot(number=self.number, after_id=0, upto_id=self.upto_id)
        return last.next(upto_id, pause)

    def do(self, work: Work) -> Counter[str]:
        """Do one batch that needs no look beforehand and moves no checkpoint."""
        return self.perform(lambda: work, self.upto_id)

    def perform(
        self, prepare: Callable[[], Work], upto_id: int, undo: Undo = nothing
    ) -> Counter[str]:
        """Do one batch: what *prepare* returns, and its journal entry, or neither.

        *prepare* looks without a transaction. What it returns is given a connection
        in a transaction and the batch's stamp, and returns the journal's counts. Both
        are done again, from the look on, after an error that may pass. A batch that
        changes nothing, moves no checkpoint and has no *undo* is not recorded.
        """
        place = self.next(upto_id, self.cell.throttle.take())
        tried = False

        def attempt() -> tuple[Counter[str], bool]:
            nonlocal tried
            # After a lost answer to COMMIT only the journal knows how it ended.
            if tried and (counts := self.committed(place)) is not None:
                return counts, True
            tried = True
            return self.commit(place, prepare, undo=undo)

        recorded = False
        try:
            counts, recorded = self.cell.api.again(attempt)
        finally:
            if not recorded:
                self.cell.throttle.give_back([place.pause])
        if recorded:
            self.advance(place, counts)
        else:
            self.cell.report.count(counts)
        return counts

    def commit(
        self,
        place: BatchSlot,
        prepare: Callable[[], Work],
        turn: Callable[[], object] = nothing,
        undo: Undo = nothing,
    ) -> tuple[Counter[str], bool]:
        """Try once to commit a batch; return its counts, and whether it is recorded.

        *turn* returns when every batch before this one is committed, and raises if
        one is not.
        """
        started, stamp = time.monotonic(), utcnow()
        work = prepare()
        with self.cell.api.engine.begin() as connection:
            above_id = connection.scalar(HIGHEST) or 0
            counts = work(connection, stamp)
            how = undo()
            same = place.upto_id == place.after_id and how is None
            # A row refused again was counted when the walk came by.
            if same and not CHANGES & (+counts).keys():
                return counts, False
            turn()
            journal.append(
                connection,
                cell_uuid=self.cell.mapping.uuid,
                revision=self.revision,
                batch=place.number,
                after_id=place.after_id,
                upto_id=place.upto_id,
                counts=counts,
                seconds=time.monotonic() - started,
                stamp=stamp,
                above_id=above_id,
                pause=place.pause,
                cell_database=self.cell.database_name,
                undo=how,
            )
        return counts, True

    def advance(self, place: BatchSlot, counts: Counter[str]) -> None:
        """Go on after a batch that is committed."""
        walked = place.upto_id > place.after_id
        spent = counts if walked else {name: counts[name] for name in CHANGES}
        self.cell.report.spent += sum(spent.values())
        self.number, self.upto_id = place.number, place.upto_id
        self.cell.report.count(counts)

    def rewind(self) -> None:
        """Let the next run walk from the start; the stamps of the past stay known."""
        if self.upto_id:
            self.perform(lambda: lambda _connection, _stamp: Counter(), 0)

    def committed(self, place: BatchSlot | None = None) -> Counter[str] | None:
        """Return the counts of the batch in hand if it is in the journal at *place*.

        Raises AnotherRun if another run's batch is there in its stead.
        """
        last = self.last()
        if last is None or last.batch <= self.number:
            return None
        if last.runner != journal.runner() or place != BatchSlot(
            number=last.batch, after_id=last.after_id, upto_id=last.upto_id
        ):
            raise AnotherRun(
                cell=self.cell.mapping, batch=last.batch, runner=last.runner
            )
        return Counter({name: getattr(last, name) for name in COUNTS})
