"""Run a process for each cell, some of them at a time, on this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from contextlib import suppress
from multiprocessing import connection
from typing import TYPE_CHECKING

from cellmap_migrations.common.errors import CellmapError, Stopped, TryAgain
from cellmap_migrations.common.sentences import WorkerDied, WorkerKilled
from cellmap_migrations.common.stopping import held_back
from cellmap_migrations.output.report import Report

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkProcess

    from cellmap_migrations.common.stopping import Stopping
    from cellmap_migrations.nova.cells import CellMapping

    Work = Callable[[CellMapping], Report]


# Forked, not started anew: with a hundred cells, start-up would cost more than the
# work. Processes and not threads, because all threads share Alembic's one context.
FORK = multiprocessing.get_context("fork")

# Seconds between two looks at the signals and the time limit.
TICK = 0.05

# What the processes get of the two seconds after which su and runuser kill.
PATIENCE = 1.2


def run(
    cells: Sequence[CellMapping], work: Work, *, jobs: int, stopping: Stopping
) -> list[Report]:
    """Do *work* for every cell, *jobs* at a time, and return how each one ended.

    A signal stops all of them, the time limit keeps the others from beginning. No
    database may be open, since the processes would share its connection.
    """
    workers = Workers(work, several=jobs > 1)
    waiting = deque(cells)
    reports: list[Report] = []
    while waiting or workers.busy:
        try:
            stopping.check_limits()
        except Stopped as error:
            reports += [not_begun(cell, error) for cell in waiting]
            waiting.clear()
        if stopping.signal:
            stopping.take_time()
            workers.stop()
        while waiting and len(workers.busy) < jobs:
            workers.start(waiting.popleft())
        reports += workers.ended()
    return reports


def not_begun(cell: CellMapping, error: TryAgain) -> Report:
    """Return the report of a cell whose turn never came."""
    report = Report(cell=cell.uuid, name=cell.name)
    report.end(error)
    return report


class Workers:
    """The processes, each with its cell and the pipe that its report comes through."""

    def __init__(self, work: Work, *, several: bool) -> None:
        self.work, self.several = work, several
        self.busy: dict[Connection, tuple[CellMapping, ForkProcess]] = {}
        self.kill_at: float | None = None

    def start(self, cell: CellMapping) -> None:
        """Begin with *cell*."""
        results, send = FORK.Pipe(duplex=False)
        process = FORK.Process(target=self.serve, args=(cell, send), daemon=True)
        with held_back():
            process.start()
        send.close()
        self.busy[results] = cell, process

    def serve(self, cell: CellMapping, send: Connection) -> None:
        """Be the process: do the work, and send the report."""
        if self.several:
            # Two progress bars on one terminal would overwrite each other.
            os.environ["TERM"] = "dumb"
        threading.Thread(target=end_with_parent, daemon=True).start()
        report = self.work(cell)
        with suppress(OSError):
            send.send(report)

    def ended(self) -> list[Report]:
        """Return the reports of those that end within a moment."""
        reports = []
        ready = connection.wait(list(self.busy), TICK)
        for results in [each for each in self.busy if each in ready]:
            cell, process = self.busy.pop(results)
            reports.append(received(results, cell, process))
        return reports

    def stop(self) -> None:
        """Tell all to stop; called again, kill those that did not in time."""
        if self.kill_at is None:
            self.kill_at = time.monotonic() + PATIENCE
            for _, process in self.busy.values():
                process.terminate()
        elif time.monotonic() > self.kill_at:
            for _, process in self.busy.values():
                process.kill()


def received(results: Connection, cell: CellMapping, process: ForkProcess) -> Report:
    """Return the report that a process sent, or one of how it died."""
    try:
        report: Report = results.recv()
    except (EOFError, OSError):
        process.join()
        report = Report(cell=cell.uuid, name=cell.name)
        report.end(died(cell, process.exitcode or 0))
    results.close()
    # It has nothing left to say, and might take its time with a server that is silent.
    process.kill()
    process.join()
    return report


def died(cell: CellMapping, code: int) -> CellmapError:
    """Return the error for a process that sent no report."""
    if code in (-signal.SIGKILL, -signal.SIGTERM):
        return WorkerKilled(cell=cell, signal=signal.Signals(-code).name)
    return WorkerDied(cell=cell, code=code)


def end_with_parent() -> None:
    """Stop this process when its parent is gone, even by ``kill -9``."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
