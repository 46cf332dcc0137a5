"""An executor that forks a process for each call.

The ProcessPoolExecutor of ``concurrent.futures`` gives up all of its calls when one of
its processes is killed.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import warnings
from concurrent.futures import BrokenExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from multiprocessing import connection
from typing import TYPE_CHECKING, Any, TypeVar

from cellmap_migrations import run
from cellmap_migrations.cli.fleet import Workers, finish
from cellmap_migrations.common import background
from cellmap_migrations.common.errors import CellmapError
from cellmap_migrations.common.sentences import WorkerDied, WorkerKilled
from cellmap_migrations.common.stopping import Stopping, held_back

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkProcess

    from cellmap_migrations.cell.cell import Cell
    from cellmap_migrations.nova.cells import CellMapping
    from cellmap_migrations.nova.identities import Identities
    from cellmap_migrations.output.report import Report


T = TypeVar("T")

# Forked, not started anew: with a hundred cells, start-up would cost more than the
# work. Processes and not threads, because all threads share Alembic's one context.
FORK = multiprocessing.get_context("fork")


class Processes(Workers):
    """Forks a process for each call at once, in the thread that submits it.

    The result of each is received by a thread that only waits for it, so that a fork
    meets no lock.
    """

    def __init__(self, max_workers: int) -> None:
        self.max_workers = max_workers
        self.running: set[ForkProcess] = set()
        # One process must not be waited for, or signalled, in two threads.
        self.lock = threading.Lock()

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Fork a process that calls *fn*; return the future of its result."""
        results, send = FORK.Pipe(duplex=False)
        call = partial(fn, *args, **kwargs)
        process = FORK.Process(target=self.serve, args=(call, send), daemon=True)
        with self.lock, held_back(), warnings.catch_warnings():
            # Python 3.12 and newer warn of any thread, also of those of receive().
            warnings.simplefilter("ignore", DeprecationWarning)
            process.start()
            self.running.add(process)
        send.close()
        return background.start(partial(self.receive, results, process))

    def serve(self, call: Callable[[], object], send: Connection) -> None:
        """Be the process: do the call, and send its result."""
        if self.max_workers > 1:
            # Two progress bars on one terminal would overwrite each other.
            os.environ["TERM"] = "dumb"
        threading.Thread(target=end_with_parent, daemon=True).start()
        try:
            sent: tuple[object, Exception | None] = call(), None
        # It is raised where the result is asked for.
        except Exception as error:  # noqa: BLE001
            sent = None, error
        # The parent may be gone, or the error not fit for sending.
        with suppress(Exception):
            send.send(sent)

    def receive(self, results: Connection, process: ForkProcess) -> Any:
        """Return the result of *process*; raise BrokenExecutor without one."""
        sent = None
        with results, suppress(EOFError, OSError):
            sent = results.recv()
        with self.lock:
            # It has sent all, and might still wait for a server that is silent.
            process.kill()
            process.join()
            self.running.discard(process)
        result, error = sent or (None, BrokenExecutor(process.exitcode))
        if error:
            raise error
        return result

    def terminate_workers(self) -> None:
        """Send a SIGTERM to each process."""
        with self.lock:
            for process in self.running:
                process.terminate()

    def kill_workers(self) -> None:
        """Send a SIGKILL to each process."""
        with self.lock:
            for process in self.running:
                process.kill()

    def explain(self, cell: CellMapping, error: Exception) -> CellmapError:
        """Return the error for a cell whose process sent no report."""
        if not isinstance(error, BrokenExecutor):
            return run.as_error(error, Stopping())
        [code] = error.args
        if code in (-signal.SIGKILL, -signal.SIGTERM):
            return WorkerKilled(cell=cell, signal=signal.Signals(-code).name)
        return WorkerDied(cell=cell, code=code)


def end_with_parent() -> None:
    """Stop this process when its parent is gone, even by ``kill -9``."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)


# Seconds for which a database that did not answer is not asked again.
RECENT = 60.0


def run_here(
    cells: Sequence[CellMapping],
    identities: Identities,
    *,
    work: Callable[[Cell], None],
    jobs: int,
) -> list[Report]:
    """Do *work* for every cell in a process, *jobs* at a time; return the reports.

    The databases are asked for their identities before, and not by each process again.
    No database may be open, since the processes would share its connection.
    """
    stopping = identities.stopping
    asked = time.monotonic()
    ask_apart(identities, cells)
    workers = Processes(jobs)

    def submit(cell: CellMapping) -> Future[Report]:
        left, late = stopping.left(), time.monotonic() > asked + RECENT
        settings = replace(
            identities.settings, cell=cell.uuid, missing="fail", time_limit=left
        )
        known = {
            other: found
            for other, found in identities.known.items()
            if not (late and is_error(found))
        }
        call = partial(run.run_one, lambda: settings, work, cell=cell.uuid)
        return workers.submit(call, known=known)

    return finish(cells, submit, workers, stopping)


def ask_apart(identities: Identities, cells: Sequence[CellMapping]) -> None:
    """Ask the databases that may be one with a database of *cells*, in a process.

    Threads that wait for a silent server must not be there when others are forked.
    """
    if not (alike := identities.alike(cells)):
        return
    workers = Processes(1)
    answers = workers.submit(identities.ask, alike, again=is_error)
    # The process of each cell asks again, and reports the error.
    with suppress(Exception):
        found = background.wait_for(answers, identities.stopping.check)
        identities.known |= found
    workers.kill_workers()


def is_error(answer: object) -> bool:
    """Return True if *answer* is the error of a database that was asked."""
    return isinstance(answer, CellmapError)
