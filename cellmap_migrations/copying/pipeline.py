"""Walk a cell by ``instances.id``: read a page while others are written.

Each batch has a thread and a connection. Batches commit in order, so the journal has no
gaps, and an error rolls back every batch behind it.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from concurrent.futures import wait
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import sqlalchemy as sa

from cellmap_migrations.bookkeeping.journal import Pause
from cellmap_migrations.common.background import result, start
from cellmap_migrations.common.errors import Stopped
from cellmap_migrations.copying import pages, read, write
from cellmap_migrations.copying.batches import first_batch_size, nothing
from cellmap_migrations.copying.decide import decide_rows
from cellmap_migrations.copying.settle import commit_rows
from cellmap_migrations.databases.database import Changed
from cellmap_migrations.nova.rules import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from cellmap_migrations.bookkeeping.journal import BatchSlot
    from cellmap_migrations.cell.cell import Cell
    from cellmap_migrations.copying.batches import Batches, BatchSize, Work
    from cellmap_migrations.copying.pages import Page
    from cellmap_migrations.copying.plan import Plan
    from cellmap_migrations.output.progress import Reached

    Done = tuple[Counter[str], float]


def prepare(cell: Cell, plan: Plan, page: Page, *, looks: bool) -> Work:
    """Return what writes a page; *looks* for mappings of its plain rows only if asked.

    The rest of the page is looked at in any case.
    """
    already = 0
    if looks and page.plain:
        page, already = pages.without_mapped(cell, plan, page)
    return partial(
        write.write_page,
        backend=cell.api.backend,
        page=page,
        columns=["instance_uuid", *plan.columns],
        already=already,
        verdicts=decide_rows(cell, plan, page.rest),
        cell_id=cell.mapping.id,
    )


# Outcomes that say nothing about a mapping that was there before.
NO_MAPPING = (Outcome.MAPPED, Outcome.REJECTED, Outcome.HIDDEN, Outcome.PLACEHOLDER)

NEW = {outcome.value for outcome in NO_MAPPING}

TOO_LARGE = 2  # times the rows of the next batch: such a page is read again


@dataclass(frozen=True, kw_only=True)
class Writing:
    """A batch that a thread is writing; its future has the counts and the seconds."""

    page: Page
    place: BatchSlot
    future: Future[Done]


class Pipeline:
    """Copies the pages of a cell from the last batch on, up to the id *bound*."""

    def __init__(
        self,
        batches: Batches,
        plan: Plan,
        pace: BatchSize,
        *,
        bound: int,
        reached: Reached,
    ) -> None:
        self.batches, self.cell, self.plan = batches, batches.cell, plan
        self.pace, self.bound, self.reached = pace, bound, reached
        settings = self.cell.settings
        # Two of them would leave no time to sleep in.
        several = self.cell.api.backend.works_by_itself and not settings.sleep_ratio
        self.writers = settings.writers if several else 1
        # To look for mappings costs more than to insert them: it begins when an INSERT
        # has met one, and ends with the first page that has none.
        self.looks = False
        self.reading: Future[Page] | None = None
        self.writing: deque[Writing] = deque()
        self.refused: Page | None = None

    def run(self) -> Page | None:
        """Copy pages; return one that the API database did not take, or None.

        Nothing of it is left there. What was written before an error is committed.
        """
        # The one before is settled by now.
        self.refused = None
        try:
            return self.copy()
        except Exception:
            self.drain()
            raise
        finally:
            # Its connection is not to be closed while it is in use.
            wait([self.reading] if self.reading else [])

    def copy(self) -> Page | None:
        """Read ahead by one page, and keep the writers busy."""
        self.reading = self.read(self.batches.upto_id)
        while self.reading or self.writing:
            if self.reading is None or len(self.writing) == self.writers:
                if refused := self.finish():
                    return refused
                continue
            page = result(self.reading)
            self.cell.throttle.pause_or_stop(self.drain)
            if self.refused:
                return self.refused
            if page.rows > TOO_LARGE * self.pace.size:
                self.reading = self.read(page.after_id)
                continue
            if page.rows:
                self.write(page)
            self.reading = self.read(page.upto_id)
        if self.allowed() == 0 and self.batches.upto_id < self.bound:
            raise Stopped(f"{self.cell.settings.max_rows} rows done (max_rows)")
        return None

    def read(self, after_id: int) -> Future[Page] | None:
        """Begin to read the page after *after_id*; None if there is none to read."""
        rows = min(self.pace.size, self.allowed())
        if after_id >= self.bound or rows == 0:
            return None
        after = partial(pages.after, self.cell.database, self.plan, after_id)
        return start(partial(after, bound=self.bound, rows=rows))

    def allowed(self) -> int:
        """Return how many more rows this run may read."""
        if (limit := self.cell.settings.max_rows) is None:
            return self.pace.most
        under_way = sum(batch.page.rows for batch in self.writing)
        return max(0, limit - self.cell.report.spent - under_way)

    def write(self, page: Page) -> None:
        """Begin to write a page as the batch after those that are being written."""
        pause, commit = self.cell.throttle.take(), partial(self.commit, page)
        if self.writing:
            before = self.writing[-1]
            place = before.place.next(page.upto_id, pause)
            commit = partial(commit, turn=partial(result, before.future))
        else:
            place = self.batches.next(page.upto_id, pause)
        future = start(partial(commit, place))
        self.writing.append(Writing(page=page, place=place, future=future))

    def commit(
        self, page: Page, place: BatchSlot, turn: Callable[[], object] = nothing
    ) -> Done:
        """Commit a page once; return its counts, and the seconds that it took."""
        started = time.monotonic()
        work = partial(prepare, self.cell, self.plan, page, looks=self.looks)
        counts, _ = self.batches.commit(place, work, turn)
        return counts, time.monotonic() - started

    def drain(self) -> None:
        """Wait for all batches, or for one whose page was refused."""
        while self.writing and not self.refused:
            self.refused = self.finish()

    def finish(self) -> Page | None:
        """Wait for the oldest batch, and return its page if it was refused."""
        oldest = self.writing.popleft()
        try:
            counts, seconds = result(oldest.future)
        except Exception as error:
            # Whatever it is, those behind it are rolled back when their turns fail.
            wait([batch.future for batch in self.writing])
            undone = [oldest, *self.writing]
            self.cell.throttle.give_back([batch.place.pause for batch in undone])
            self.writing.clear()
            if not isinstance(error, (*self.cell.api.errors, Changed)):
                raise
            self.looks = True
            return oldest.page
        self.batches.advance(oldest.place, counts)
        self.looks = self.looks and bool((+counts).keys() - NEW)
        self.pace.learn(oldest.page.rows, seconds)
        self.reached(oldest.page.rows, oldest.place.upto_id)
        return None


def walk(cell: Cell, plan: Plan, batches: Batches) -> None:
    """Settle every instance after the last batch, up to the highest id of now.

    By id, because ``created_at`` may be NULL and is not unique. Raises Stopped at a
    signal or a limit; what was committed stays, and the next run goes on after it.
    """
    bound = read.highest_id(cell.database)
    pace = first_batch_size(cell, batches.rows)
    with cell.progress.walking(batches.upto_id, bound) as reached:
        pipeline = Pipeline(batches, plan, pace, bound=bound, reached=reached)
        while (refused := pipeline.run()) is not None:
            started = time.monotonic()
            by_itself(batches, plan, refused)
            pace.learn(refused.rows, time.monotonic() - started)
            reached(refused.rows, refused.upto_id)


def by_itself(batches: Batches, plan: Plan, page: Page) -> None:
    """Commit a page that was refused, unless only the answer to its COMMIT was lost."""
    place = batches.next(page.upto_id, Pause())
    counts = batches.committed(place)
    if counts is not None:
        batches.advance(place, counts)
        return
    source = batches.cell.database
    rows = read.between(source, plan, page.after_id, page.upto_id, sa.true())
    commit_rows(batches, plan, rows, page.upto_id)
