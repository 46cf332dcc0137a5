"""Choose the size of a batch, and commit its rows and journal entry together."""

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


def do_nothing() -> None:
    """Return None."""


# The counts of mappings that a batch changed.
CHANGES = {outcome.value for outcome in WRITTEN} | {MENDED, REMOVED}

HIGHEST_ID = sa.select(sa.func.max(instance_mappings.c.id))

# Writes the rows of a batch on a connection that is in a transaction, given the stamp
# of the batch. Returns the counts for the journal.
Write = Callable[[sa.Connection, "datetime"], Counter[str]]

# Called after Write: returns the JSON with which the batch is undone, or None.
Undo = Callable[[], str | None]


class Batches:
    """Commit the batches of one revision in one cell, each after the last one."""

    def __init__(self, cell: Cell, revision: str) -> None:
        """Read the last batch from the journal."""
        self.cell, self.revision = cell, revision
        last = self.last_entry()
        self.number = last.batch if last else 0
        self.upto_id = last.upto_id if last else 0
        self.rows = last.rows_read if last else 0

    def last_entry(self) -> Any | None:
        """Return the last journal entry of the revision, or None before the first."""
        return journal.last_batch(self.cell.api, self.cell.mapping.uuid, self.revision)

    def next_slot(self, upto_id: int, pause: Pause) -> BatchSlot:
        """Return the slot of the next batch, which ends at *upto_id*."""
        last = BatchSlot(number=self.number, after_id=0, upto_id=self.upto_id)
        return last.next(upto_id, pause)

    def commit_prepared(self, write: Write) -> Counter[str]:
        """Commit a batch that needs no reads first; leave the checkpoint as it is."""
        return self.commit(lambda: write, self.upto_id)

    def commit(
        self, prepare: Callable[[], Write], upto_id: int, undo: Undo = do_nothing
    ) -> Counter[str]:
        """Commit one batch and its journal entry in one transaction; return its counts.

        *prepare* reads outside of the transaction, and returns the function that writes
        in it. Transient errors are retried, each time from *prepare* on. A batch that
        changes no row, moves no checkpoint and has no *undo* gets no journal entry.
        """
        slot = self.next_slot(upto_id, self.cell.throttle.take())
        tried = False

        def attempt() -> tuple[Counter[str], bool]:
            nonlocal tried
            # If the answer to a COMMIT was lost, only the journal has its result.
            if tried and (counts := self.committed(slot)) is not None:
                return counts, True
            tried = True
            return self.commit_once(slot, prepare, undo=undo)

        recorded = False
        try:
            counts, recorded = self.cell.api.retry(attempt)
        finally:
            if not recorded:
                self.cell.throttle.give_back([slot.pause])
        if recorded:
            self.advance(slot, counts)
        else:
            self.cell.report.count(counts)
        return counts

    def commit_once(
        self,
        slot: BatchSlot,
        prepare: Callable[[], Write],
        turn: Callable[[], object] = do_nothing,
        undo: Undo = do_nothing,
    ) -> tuple[Counter[str], bool]:
        """Try once to commit a batch in *slot*.

        Returns its counts, and True if it got a journal entry. *turn* returns when
        every earlier batch is committed, and raises if one failed.
        """
        started, stamp = time.monotonic(), utcnow()
        write = prepare()
        with self.cell.api.engine.begin() as connection:
            above_id = connection.scalar(HIGHEST_ID) or 0
            counts = write(connection, stamp)
            how = undo()
            stays = slot.upto_id == slot.after_id and how is None
            # The entry of the walk already counts a row that is rejected again.
            if stays and not CHANGES & (+counts).keys():
                return counts, False
            turn()
            journal.append(
                connection,
                cell_uuid=self.cell.mapping.uuid,
                revision=self.revision,
                batch=slot.number,
                after_id=slot.after_id,
                upto_id=slot.upto_id,
                counts=counts,
                seconds=time.monotonic() - started,
                stamp=stamp,
                above_id=above_id,
                pause=slot.pause,
                cell_database=self.cell.database_name,
                undo=how,
            )
        return counts, True

    def advance(self, slot: BatchSlot, counts: Counter[str]) -> None:
        """Make the batch in *slot* the last one, and add its counts to the report."""
        walked = slot.upto_id > slot.after_id
        spent = counts if walked else {name: counts[name] for name in CHANGES}
        self.number, self.upto_id = slot.number, slot.upto_id
        self.cell.report.count(counts, spent=sum(spent.values()))

    def rewind(self) -> None:
        """Let the next run walk from the start. The journal keeps all its entries."""
        if self.upto_id:
            self.commit(lambda: lambda _connection, _stamp: Counter(), 0)

    def committed(self, slot: BatchSlot | None = None) -> Counter[str] | None:
        """Return the counts of *slot*'s batch if the journal has it, else None.

        Raises AnotherRun if the journal has another run's batch with its number.
        """
        last = self.last_entry()
        if last is None or last.batch <= self.number:
            return None
        if last.runner != journal.runner() or slot != BatchSlot(
            number=last.batch, after_id=last.after_id, upto_id=last.upto_id
        ):
            raise AnotherRun(
                cell=self.cell.mapping, batch=last.batch, runner=last.runner
            )
        return Counter({name: getattr(last, name) for name in COUNTS})


T = TypeVar("T")

# The weight of all batches before the last one.
MEMORY = 0.75

# The largest factor between the sizes of two batches.
GROWTH = 1.5

# Rows of the first batch.
START = 1_000


@dataclass
class BatchSize:
    """Adapt the rows of a batch so that the API database takes *seconds* for it.

    *seconds* returns that time, which an operator may change. The next batch has at
    most *largest* rows, and just as many before the first batch was measured.
    """

    seconds: Callable[[], float]
    least: int
    most: int
    largest: float = START
    rows: float = 0.0
    spent: float = 0.0

    @property
    def size(self) -> int:
        """Return the rows of the next batch."""
        wanted = self.largest
        if self.spent:
            wanted = min(self.rows / self.spent * self.seconds(), wanted)
        return int(min(max(wanted, self.least), self.most))

    def learn(self, rows: int, seconds: float) -> None:
        """Adapt the size to a batch of *rows* that took *seconds*.

        The rate is smoothed, so one fast batch has little weight. After a batch that
        took too long, the older rates are forgotten: they would let the size grow again
        on a server that has become slow. Such a batch counts as one of the wanted time:
        otherwise one stall would keep many batches small. The size grows by a factor of
        at most GROWTH.
        """
        self.largest = self.size * GROWTH
        seconds, wanted = max(seconds, 1e-6), self.seconds()
        if seconds > wanted:
            self.rows, self.spent = rows / seconds * wanted, wanted
        else:
            self.rows = self.rows * MEMORY + rows
            self.spent = self.spent * MEMORY + seconds


def first_batch_size(cell: Cell, rows: int = 0) -> BatchSize:
    """Return the size of a run's first batch, with the limits of the settings.

    *rows* is the size of the last batch in the journal, from which it goes on.
    """
    settings, backend = cell.settings, cell.api.backend
    least = settings.batch_rows_min
    return BatchSize(
        lambda: max(
            cell.control.settings.batch_seconds * cell.throttle.slowdown.share,
            backend.batch_seconds,
        ),
        largest=max(START, rows),
        least=least,
        most=settings.batch_rows_max or max(backend.batch_rows, least),
    )


def limit_rows(cell: Cell, rows: int) -> int:
    """Return how many of *rows* ``max_rows`` still allows; raise Stopped at 0."""
    limit = cell.settings.max_rows
    if limit is None or not rows:
        return rows
    left = limit - cell.report.spent
    if left <= 0:
        raise Stopped(f"{limit} rows done (max_rows)")
    return min(rows, left)


def split_at_limit(cell: Cell, items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield *items* in parts that ``max_rows`` allows; raise Stopped at a limit.

    The time limit is checked only after a part in which the caller changed something:
    a comparison may take longer than the limit, and each run must make progress.
    """
    while items:
        spent, rows = cell.report.spent, limit_rows(cell, len(items))
        yield items[:rows]
        items = items[rows:]
        if cell.report.spent > spent:
            cell.stopping.check_limits()
