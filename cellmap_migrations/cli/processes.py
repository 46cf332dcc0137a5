"""Run a call for each cell in a forked process.

The ProcessPoolExecutor of ``concurrent.futures`` does not fit: all of its calls fail if
one of its processes is killed.
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

# Not "spawn": with a hundred cells, the start of Python would take more time than the
# work.
# Not threads: all threads of a process share Alembic's one context.
FORK = multiprocessing.get_context("fork")


class Processes(Workers):
    """Fork a process for each call, in the thread that submits the call.

    A thread waits for each result. It does nothing else, so that it holds no lock
    during a later fork.
    """

    def __init__(self, max_workers: int) -> None:
        self.max_workers = max_workers
        self.running: set[ForkProcess] = set()
        # Two threads must not wait for, or signal, one process at the same time.
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
        """Run *call* in the new process; send its result or its error."""
        if self.max_workers > 1:
            # Two progress bars on one terminal would overwrite each other.
            os.environ["TERM"] = "dumb"
        threading.Thread(target=end_with_parent, daemon=True).start()
        try:
            sent: tuple[object, Exception | None] = call(), None
        # The parent process raises it.
        except Exception as error:  # noqa: BLE001
            sent = None, error
        # The parent may be gone, or pickle may refuse the error.
        with suppress(Exception):
            send.send(sent)

    def receive(self, results: Connection, process: ForkProcess) -> Any:
        """Return the result of *process*; raise BrokenExecutor without one."""
        sent = None
        with results, suppress(EOFError, OSError):
            sent = results.recv()
        with self.lock:
            # The result is here. The process may still wait for a silent server.
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

    def explain(self, mapping: CellMapping, error: Exception) -> CellmapError:
        """Return the error for a cell whose process sent no report."""
        if not isinstance(error, BrokenExecutor):
            return run.as_error(error, Stopping())
        [code] = error.args
        if code in (-signal.SIGKILL, -signal.SIGTERM):
            return WorkerKilled(cell=mapping, signal=signal.Signals(-code).name)
        return WorkerDied(cell=mapping, code=code)


def end_with_parent() -> None:
    """Stop this process when its parent has ended, also by ``kill -9``."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)


# Seconds for which the error of a database that did not answer is reused.
RECENT = 60.0


def run_here(
    mappings: Sequence[CellMapping],
    identities: Identities,
    *,
    work: Callable[[Cell], None],
    jobs: int,
) -> list[Report]:
    """Do *work* for each cell in its own process, *jobs* at a time; return the reports.

    Asks the databases for their identities once, before the first process is forked. No
    database may be open, because the processes would share its connection.
    """
    stopping = identities.stopping
    asked = time.monotonic()
    ask_apart(identities, mappings)
    workers = Processes(jobs)

    def submit(mapping: CellMapping) -> Future[Report]:
        left, late = stopping.left(), time.monotonic() > asked + RECENT
        settings = replace(
            identities.settings,
            selector=mapping.uuid,
            missing="fail",
            time_limit=left,
        )
        known = {
            other: found
            for other, found in identities.known.items()
            if not (late and is_error(found))
        }
        call = partial(run.run_one, lambda: settings, work, selector=mapping.uuid)
        return workers.submit(call, known=known)

    return finish(mappings, submit, workers, stopping)


def ask_apart(identities: Identities, mappings: Sequence[CellMapping]) -> None:
    """Ask, in a process, for the identities that ``Identities.alike`` returns.

    In this process a thread that waits for a silent server could hold a lock during the
    fork of another process.
    """
    if not (alike := identities.alike(mappings)):
        return
    workers = Processes(1)
    answers = workers.submit(identities.ask, alike, ask_again=is_error)
    # The process of each cell asks again, and reports the error.
    with suppress(Exception):
        found = background.wait_for(answers, identities.stopping.check)
        identities.known |= found
    workers.kill_workers()


def is_error(answer: object) -> bool:
    """Return True if *answer* is the error of a database that was asked."""
    return isinstance(answer, CellmapError)
