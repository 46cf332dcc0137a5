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
from cellmap_migrations.common.background import start, wait_for
from cellmap_migrations.common.errors import Stopped
from cellmap_migrations.copying import pages, read, write
from cellmap_migrations.copying.batches import do_nothing, first_batch_size
from cellmap_migrations.copying.decide import decide_rows
from cellmap_migrations.copying.refused import commit_rows
from cellmap_migrations.databases.database import Changed
from cellmap_migrations.nova.rules import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from cellmap_migrations.bookkeeping.journal import BatchSlot
    from cellmap_migrations.cell.cell import Cell
    from cellmap_migrations.copying.batches import Batches, BatchSize, Write
    from cellmap_migrations.copying.pages import Page
    from cellmap_migrations.copying.plan import Plan
    from cellmap_migrations.output.progress import Reached

    Done = tuple[Counter[str], float]


def walk(cell: Cell, plan: Plan, batches: Batches) -> None:
    """Copy the instances after the last batch, up to the highest id at the start.

    In the order of ids, because ``created_at`` may be NULL and is not unique. Raises
    Stopped at a signal or a limit. The committed batches stay, and the next run goes on
    after them.
    """
    bound = read.highest_id(cell.database)
    pace = first_batch_size(cell, batches.rows)
    with cell.progress.walking(batches.upto_id, bound) as reached:
        pipeline = Pipeline(batches, plan, pace, bound=bound, reached=reached)
        while (refused := pipeline.copy()) is not None:
            started = time.monotonic()
            commit_refused(batches, plan, refused)
            pace.learn(refused.rows, time.monotonic() - started)
            reached(refused.rows, refused.upto_id)


def commit_refused(batches: Batches, plan: Plan, page: Page) -> None:
    """Commit the rows of a refused page, unless the journal has them already.

    It has them if only the answer to the COMMIT was lost.
    """
    slot = batches.next_slot(page.upto_id, Pause())
    counts = batches.committed(slot)
    if counts is not None:
        batches.advance(slot, counts)
        return
    database = batches.cell.database
    rows = read.between(database, plan, page.after_id, page.upto_id, sa.true())
    commit_rows(batches, plan, rows, page.upto_id)


# A page with more than this many times the rows of the next batch is read again.
TOO_LARGE = 2

# Outcomes of instances that had no mapping before.
NO_MAPPING = (Outcome.MAPPED, Outcome.REJECTED, Outcome.HIDDEN, Outcome.PLACEHOLDER)

NEW = {outcome.value for outcome in NO_MAPPING}


@dataclass(frozen=True, kw_only=True)
class Writing:
    """Hold a batch that a thread writes; its future has the counts and the seconds."""

    page: Page
    slot: BatchSlot
    future: Future[Done]


class Pipeline:
    """Copy the pages of a cell after the last batch, up to the id *bound*."""

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
        self.slowdown = self.cell.throttle.slowdown
        # Reading the mappings of a page takes longer than inserting it. So they are
        # read only after an INSERT met a duplicate, until a page has no mapping.
        self.reads_mappings = False
        self.reading: Future[Page] | None = None
        self.writing: deque[Writing] = deque()
        self.refused: Page | None = None

    @property
    def writers(self) -> int:
        """Return how many batches may be written now at the same time."""
        settings = self.cell.control.settings
        # With two writers there is no time in which the API server can rest.
        several = self.cell.api.backend.works_by_itself and not settings.sleep_ratio
        return self.slowdown.writers(settings.writers if several else 1)

    def copy(self) -> Page | None:
        """Copy pages to the end, or to one that the API database refused; return that.

        Nothing of a refused page is committed. The batches before an error are.
        """
        # The caller has committed the page that was refused.
        self.refused = None
        try:
            return self.copy_pages()
        except Exception:
            self.drain()
            raise
        finally:
            # The reader's connection must not be closed while it is in use.
            wait([self.reading] if self.reading else [])

    def copy_pages(self) -> Page | None:
        """Read ahead by one page, and keep the writers busy."""
        self.reading = self.read(self.batches.upto_id)
        while self.reading or self.writing:
            if self.reading is None or len(self.writing) >= self.writers:
                if refused := self.finish_oldest():
                    return refused
                continue
            page = wait_for(self.reading, self.measure)
            self.cell.throttle.pause_or_stop(self.drain)
            if self.refused:
                return self.refused
            if page.rows > TOO_LARGE * self.pace.size:
                self.reading = self.read(page.after_id)
                continue
            if page.rows:
                self.write(page)
                self.slowdown.measure_writing()
            self.reading = self.read(page.upto_id)
        if self.rows_left() == 0 and self.batches.upto_id < self.bound:
            raise Stopped(f"{self.cell.settings.max_rows} rows done (max_rows)")
        return None

    def measure(self) -> None:
        """Measure the latency of others if a batch is being written."""
        if self.writing:
            self.slowdown.measure_writing()

    def read(self, after_id: int) -> Future[Page] | None:
        """Begin to read the page after *after_id*; return None at the end."""
        rows = min(self.pace.size, self.rows_left())
        if after_id >= self.bound or rows == 0:
            return None
        page = partial(pages.read_page, self.cell.database, self.plan, after_id)
        return start(partial(page, bound=self.bound, rows=rows))

    def rows_left(self) -> int:
        """Return how many more rows ``max_rows`` allows this run to read."""
        if (limit := self.cell.settings.max_rows) is None:
            return self.pace.most
        under_way = sum(batch.page.rows for batch in self.writing)
        return max(0, limit - self.cell.report.spent - under_way)

    def write(self, page: Page) -> None:
        """Begin to write *page* as the batch after the last one that is under way."""
        pause, commit = self.cell.throttle.take(), partial(self.commit, page)
        if self.writing:
            before = self.writing[-1]
            slot = before.slot.next(page.upto_id, pause)
            commit = partial(commit, turn=partial(wait_for, before.future))
        else:
            slot = self.batches.next_slot(page.upto_id, pause)
        future = start(partial(commit, slot))
        self.writing.append(Writing(page=page, slot=slot, future=future))

    def commit(
        self, page: Page, slot: BatchSlot, turn: Callable[[], object] = do_nothing
    ) -> Done:
        """Try once to commit *page*; return its counts and the seconds it took."""
        started, reads = time.monotonic(), self.reads_mappings
        prepare = partial(
            prepare_page, self.cell, self.plan, page, reads_mappings=reads
        )
        counts, _ = self.batches.commit_once(slot, prepare, turn)
        return counts, time.monotonic() - started

    def drain(self) -> None:
        """Wait until every batch is committed, or one is refused by the database."""
        while self.writing and not self.refused:
            self.refused = self.finish_oldest()

    def finish_oldest(self) -> Page | None:
        """Wait for the oldest batch; return its page if the database refused it."""
        oldest = self.writing.popleft()
        try:
            counts, seconds = wait_for(oldest.future, self.slowdown.measure_writing)
        except Exception as error:
            # After any error the later batches roll back, because their turn fails.
            wait([batch.future for batch in self.writing])
            undone = [oldest, *self.writing]
            self.cell.throttle.give_back([batch.slot.pause for batch in undone])
            self.writing.clear()
            if not isinstance(error, (*self.cell.api.errors, Changed)):
                raise
            self.reads_mappings = True
            return oldest.page
        self.batches.advance(oldest.slot, counts)
        self.reads_mappings &= bool((+counts).keys() - NEW)
        self.pace.learn(oldest.page.rows, seconds)
        self.reached(oldest.page.rows, oldest.slot.upto_id)
        return None


def prepare_page(cell: Cell, plan: Plan, page: Page, *, reads_mappings: bool) -> Write:
    """Decide about the rows of *page*, and return the function that writes them.

    The mappings of plain rows are read first only if *reads_mappings*; those of the
    rest always.
    """
    already = 0
    if reads_mappings and page.plain:
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
