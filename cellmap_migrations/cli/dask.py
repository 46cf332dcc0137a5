"""Run a task for each cell on a Dask cluster.

A task whose worker dies is given to another one, which goes on after the last batch in
the journal. Should the first one live after all, the journal lets only one of them go
on.
"""

from __future__ import annotations

import logging
import re
import time
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING
from uuid import uuid4

from distributed import CancelledError, Client, KilledWorker

# On Python 3.10 it is another one than Python's own.
from distributed import TimeoutError as TimedOut
from distributed.comm.addressing import parse_address, parse_host_port
from distributed.security import Security

from cellmap_migrations.cli.processes import TICK, not_begun
from cellmap_migrations.common import background, secrets
from cellmap_migrations.common.errors import (
    BadOption,
    CellmapError,
    Stopped,
    Unreachable,
)
from cellmap_migrations.common.sentences import SchedulerLost, WorkerKilled, WorkerUnfit
from cellmap_migrations.common.stopping import PATIENCE, Stopping
from cellmap_migrations.config.settings import load
from cellmap_migrations.output.report import Report
from cellmap_migrations.run import run_one

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from distributed import Future

    from cellmap_migrations.cell.cell import Cell
    from cellmap_migrations.config.settings import Settings
    from cellmap_migrations.nova.cells import CellMapping


# All threads of a process share Alembic's one context.
ONE_AT_A_TIME = Lock()

# What this process works on, by the run that asked for it and the cell.
AT_WORK: dict[tuple[str, str], Stopping] = {}

# The runs that got a signal, by name; what they asked for may be in a queue here.
STOPPED: dict[str, str] = {}


@dataclass(frozen=True, kw_only=True)
class Order:
    """A cell for a worker. It names files and no database: those the worker reads.

    *arguments* are those of ``-x``. The *deadline* is Unix time: hosts of one cloud
    agree about that.
    """

    run: str
    cell: str
    arguments: Sequence[str]
    work: Callable[[Cell], None]
    read_only: bool
    deadline: float | None

    def load(self) -> Settings:
        """Return the settings of this host, with what is left of the run's time."""
        left = None
        if self.deadline is not None:
            left = max(self.deadline - time.time(), 0.0)
        mine = load(self.arguments)
        return replace(mine, time_limit=left, read_only=self.read_only)


def carry_out(order: Order) -> Report:
    """Do the work for the cell of *order*, and return how it ended."""
    place = order.run, order.cell
    stopping = AT_WORK[place] = Stopping()
    if order.run in STOPPED:
        stopping.stop(STOPPED[order.run])
    try:
        with ONE_AT_A_TIME:
            return run_one(order.load, order.work, cell=order.cell, stopping=stopping)
    finally:
        del AT_WORK[place]


def stop(run: str, signal: str) -> None:
    """End what *run* asked for, after the batch in hand; *signal* is what it got."""
    STOPPED[run] = signal
    for (whose, _), stopping in list(AT_WORK.items()):
        if whose == run:
            stopping.stop(signal)


# Seconds for a report to come from the worker that has it.
FETCH = 1.0


class Tasks:
    """The tasks of one run that have not ended."""

    def __init__(self, client: Client, scheduler: str, stopping: Stopping) -> None:
        self.client, self.scheduler, self.stopping = client, scheduler, stopping
        self.run = uuid4().hex
        self.pending: dict[Future[Report], CellMapping] = {}
        self.give_up_at: float | None = None

    def begin(self, cell: CellMapping, order: Order) -> None:
        """Hand over an order to the cluster."""
        key = f"cellmap-{self.run}-{cell.uuid}"
        future = self.client.submit(carry_out, order, key=key, pure=False)
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
            return SchedulerLost(scheduler=self.scheduler)
        if isinstance(error, KilledWorker):
            count = error.allowed_failures + 1
            why = f"on {count} workers, one after another"
            return WorkerKilled(cell=cell, signal=why)
        why = secrets.mask(f"{type(error).__name__}: {error}")
        return WorkerUnfit(cell=cell, message=why)

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
            tell = partial(self.client.run, stop, self.run, self.stopping.signal)
            # In a thread, for a worker that does not answer.
            background.start(partial(tell, on_error="ignore"))
        if time.monotonic() < self.give_up_at:
            return []
        return self.drop(list(self.pending), error)

    def drop(self, futures: Sequence[Future[Report]], error: Stopped) -> list[Report]:
        """Forget tasks, and return their reports."""
        open_ones = [each for each in futures if not each.done()]
        self.client.cancel(open_ones)
        return [not_begun(self.pending.pop(future), error) for future in open_ones]


TCP, TLS = "tcp", "tls"

# A name or an address; an @ would end a login, which no scheduler asks for.
HOST = re.compile(r"[\w.:%-]+")

HIGHEST_PORT = 65_535


def refuse(scheduler: str) -> None:
    """Raise BadOption for an address that no client can use.

    Before there is a client: one that could not begin waits when it is thrown away, and
    prints a traceback after the last line.
    """
    try:
        scheme, place = parse_address(scheduler)
        host, port = parse_host_port(place)
        host.encode("idna")
    except ValueError:
        scheme, host, port = "", "", 0
    usable = HOST.fullmatch(host) and 0 < port <= HIGHEST_PORT
    if scheme not in (TCP, TLS) or not usable:
        wanted = "write tcp://host:port or tls://host:port"
        raise BadOption("scheduler", scheduler, wanted)
    try:
        given = Security().get_connection_args("client")
    # Whatever a file or a value of Dask's configuration leads to.
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        why = f"Dask's configuration has a wrong distributed.comm.tls: {error}"
        raise BadOption("scheduler", scheduler, secrets.mask(why)) from error
    if scheme == TLS and given["ssl_context"] is None:
        raise BadOption(
            "scheduler",
            scheduler,
            "Dask's configuration has no certificates; set ca-file, client.cert and "
            "client.key of distributed.comm.tls",
        )
    if scheme == TCP and given["require_encryption"]:
        why = "Dask's configuration requires encryption; write tls://host:port"
        raise BadOption("scheduler", scheduler, why)


def run(
    cells: Sequence[CellMapping],
    settings: Settings,
    stopping: Stopping,
    *,
    work: Callable[[Cell], None],
    arguments: Sequence[str],
    scheduler: str,
) -> list[Report]:
    """Do *work* for every cell on the workers, and return how each one ended.

    *arguments* are the workers' ``-x``, beside the cell. A signal stops all of them,
    the time limit too. Raises Unreachable without the scheduler or any worker.
    """
    if not cells:
        return []
    # Its warnings would come after the error, which is to be the last line.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    left = stopping.left()
    deadline = None if left is None else time.time() + left
    client = connect(scheduler, settings.connect_timeout)
    try:
        tasks = Tasks(client, scheduler, stopping)
        for cell in cells:
            order = Order(
                run=tasks.run,
                cell=cell.uuid,
                arguments=[*arguments, f"cell={cell.uuid}"],
                work=work,
                read_only=settings.read_only,
                deadline=deadline,
            )
            tasks.begin(cell, order)
        return tasks.finish()
    except OSError as error:
        raise SchedulerLost(scheduler=scheduler) from error
    finally:
        # After a signal there is no time for a farewell.
        if not stopping.signal:
            client.close(timeout=FETCH)


def connect(scheduler: str, patience: float) -> Client:
    """Return a client of the *scheduler* when that has a worker.

    Raises BadOption or, after *patience* seconds, Unreachable.
    """
    what = f"Dask scheduler {secrets.mask(scheduler)}"
    try:
        client = Client(scheduler, timeout=patience, set_as_default=False)
    except (OSError, TimedOut) as error:
        raise Unreachable(what, patience, secrets.mask(error)) from error
    except (ValueError, TypeError, RuntimeError) as error:
        raise BadOption("scheduler", scheduler, secrets.mask(error)) from error
    try:
        client.wait_for_workers(1, timeout=patience)
    except (OSError, TimedOut) as error:
        client.close(timeout=FETCH)
        message = "start dask worker on some hosts"
        raise Unreachable(f"a worker of {what}", patience, message) from error
    return client
