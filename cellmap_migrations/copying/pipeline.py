"""Copy pages of the cell: one is read while others are written, all in order.

Each batch has a thread and a connection, and is committed after the one before it: the
journal has no hole, and a fault undoes what is behind it.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from concurrent.futures import wait
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from cellmap_migrations.copying import pages
from cellmap_migrations.copying.batches import nothing
from cellmap_migrations.copying.prepare import prepare
from cellmap_migrations.databases import Changed
from cellmap_migrations.errors import Stopped
from cellmap_migrations.outcomes import Outcome
from cellmap_migrations.threads import result, start

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from cellmap_migrations.bookkeeping.journal import Place
    from cellmap_migrations.copying.batches import Batches
    from cellmap_migrations.copying.pace import Pace
    from cellmap_migrations.copying.pages import Page
    from cellmap_migrations.copying.plans import Plan
    from cellmap_migrations.progress import Reached

    Done = tuple[Counter[str], float]

# Outcomes that say nothing about a mapping that was there before.
NO_MAPPING = (Outcome.MAPPED, Outcome.REJECTED, Outcome.HIDDEN, Outcome.PLACEHOLDER)
NEW = {outcome.value for outcome in NO_MAPPING}

TOO_LARGE = 2  # times the rows of the next batch: such a page is read again


@dataclass(frozen=True, kw_only=True)
class Writing:
    """A batch that a thread is writing; its future has the counts and the seconds."""

    page: Page
    place: Place
    future: Future[Done]


class Pipeline:
    """Copies the pages of a cell from the last batch on, up to the id *bound*."""

    def __init__(
        self, batches: Batches, plan: Plan, pace: Pace, *, bound: int, reached: Reached
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
            self.cell.pause_or_stop(self.drain)
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
        after = partial(pages.after, self.cell.source, self.plan, after_id)
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
        self, page: Page, place: Place, turn: Callable[[], object] = nothing
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
