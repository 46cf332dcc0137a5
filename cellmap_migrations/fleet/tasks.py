"""The tasks of a run on a Dask cluster, from their begin to their reports."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

from distributed import CancelledError, KilledWorker

# On Python 3.10 it is another one than Python's own.
from distributed import TimeoutError as TimedOut

from cellmap_migrations import threads
from cellmap_migrations.errors import (
    CellmapError,
    SchedulerLost,
    Stopped,
    WorkerKilled,
    WorkerUnfit,
)
from cellmap_migrations.fleet import remote
from cellmap_migrations.fleet.processes import TICK, not_begun
from cellmap_migrations.reporting import Report
from cellmap_migrations.stopping import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from distributed import Client, Future

    from cellmap_migrations.directory import CellMapping
    from cellmap_migrations.stopping import Stopping

# Seconds for a report to come from the worker that has it.
FETCH = 1.0


class Tasks:
    """The tasks of one run that have not ended."""

    def __init__(self, client: Client, scheduler: str, stopping: Stopping) -> None:
        self.client, self.scheduler, self.stopping = client, scheduler, stopping
        self.run = uuid4().hex
        self.pending: dict[Future[Report], CellMapping] = {}
        self.give_up_at: float | None = None

    def begin(self, cell: CellMapping, order: remote.Order) -> None:
        """Hand over an order to the cluster."""
        key = f"cellmap-{self.run}-{cell.uuid}"
        future = self.client.submit(remote.carry_out, order, key=key, pure=False)
        self.pending[future] = cell

    def finish(self) -> list[Report]:
        """Return all reports when they are there, or when a signal leaves no time."""
        reports: list[Report] = []
        while self.pending:
            try:
                self.stopping.check_limits()
            except Stopped as error:
                reports += self.end(error)
            time.sleep(TICK)
            for future in [each for each in self.pending if each.done()]:
                if report := self.received(future):
                    del self.pending[future]
                    reports.append(report)
        return reports

    def received(self, future: Future[Report]) -> Report | None:
        """Return the report of a task; None if it has to be done again for that."""
        cell = self.pending[future]
        try:
            report: Report = future.result(timeout=FETCH)
        except TimedOut:
            return None
        except Exception as error:  # noqa: BLE001 - whatever a worker cannot load
            report = Report(cell=cell.uuid)
            report.end(self.explain(cell, error))
        report.name = cell.name
        return report

    def explain(self, cell: CellMapping, error: Exception) -> CellmapError:
        """Return the error for a task that has no report."""
        if isinstance(error, CancelledError):
            return SchedulerLost(self.scheduler)
        if isinstance(error, KilledWorker):
            count = error.allowed_failures + 1
            return WorkerKilled(str(cell), f"on {count} workers, one after another")
        return WorkerUnfit(str(cell), f"{type(error).__name__}: {error}")

    def end(self, error: Stopped) -> list[Report]:
        """Stop all tasks, and return reports of those that need not be waited for."""
        if not self.stopping.signal:
            # Those at work know the deadline, and end at it.
            begun = {key for keys in self.client.processing().values() for key in keys}
            return self.drop(
                [each for each in self.pending if each.key not in begun], error
            )
        self.stopping.take_time()
        if self.give_up_at is None:
            self.give_up_at = time.monotonic() + PATIENCE
            tell = partial(self.client.run, remote.stop, self.run, self.stopping.signal)
            # In a thread, for a worker that does not answer.
            threads.start(partial(tell, on_error="ignore"))
        if time.monotonic() < self.give_up_at:
            return []
        return self.drop(list(self.pending), error)

    def drop(self, futures: Sequence[Future[Report]], error: Stopped) -> list[Report]:
        """Forget tasks, and return their reports."""
        open_ones = [each for each in futures if not each.done()]
        self.client.cancel(open_ones)
        return [not_begun(self.pending.pop(future), error) for future in open_ones]
