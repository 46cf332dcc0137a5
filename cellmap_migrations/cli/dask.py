"""Run a task for each cell on a Dask cluster.

If a worker dies, Dask gives its task to another worker, which resumes after the last
batch in the journal. If the first worker is alive after all, the journal lets only one
of the two commit the next batch.
"""

from __future__ import annotations

import logging
import re
import time
from concurrent.futures import CancelledError
from dataclasses import replace
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from distributed import Client, KilledWorker

# On Python 3.10 this class is not the built-in TimeoutError.
from distributed import TimeoutError as TimedOut
from distributed.comm.addressing import parse_address, parse_host_port
from distributed.security import Security

from cellmap_migrations.cli.fleet import Workers, finish
from cellmap_migrations.common import background, secrets
from cellmap_migrations.common.errors import BadOption, Unreachable
from cellmap_migrations.common.sentences import SchedulerLost, WorkerKilled, WorkerUnfit
from cellmap_migrations.common.stopping import Stopping
from cellmap_migrations.config import settings
from cellmap_migrations.run import run_one

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from distributed import Future as Task

    from cellmap_migrations.cell.cell import Cell
    from cellmap_migrations.common.errors import CellmapError
    from cellmap_migrations.config.settings import Settings
    from cellmap_migrations.nova.cells import CellMapping
    from cellmap_migrations.nova.identities import Identities
    from cellmap_migrations.output.report import Report


T = TypeVar("T")

# All threads of a process share Alembic's one context.
ONE_AT_A_TIME = Lock()

# The Stopping of each run in this process of a worker, by the name of the run.
STOPPINGS: dict[str, Stopping] = {}


def carry_out(
    run: str,
    selector: str,
    arguments: Sequence[str],
    work: Callable[[Cell], None],
    *,
    read_only: bool,
    deadline: float | None,
) -> Report:
    """Do *work* on a worker for the cell of *selector*, with the settings of that host.

    *arguments* are ``-x`` arguments. They name files and no database, so no password
    is sent. The *deadline* is Unix time in seconds, because the hosts of a cloud have
    synchronized clocks.
    """

    def load() -> Settings:
        left = None if deadline is None else max(deadline - time.time(), 0.0)
        mine = settings.load([*arguments, f"cell={selector}"])
        return replace(mine, time_limit=left, read_only=read_only)

    with ONE_AT_A_TIME:
        return run_one(load, work, selector=selector, stopping=stopping_of(run))


def stopping_of(run: str) -> Stopping:
    """Return the Stopping of *run* in this process."""
    return STOPPINGS.setdefault(run, Stopping())


def stop(run: str, signal: str) -> None:
    """Stop the tasks of *run* after the current batch, as the *signal* that it got."""
    stopping_of(run).stop(signal)


class Cluster(Workers):
    """Submit each call as a task, and stop the tasks after a signal.

    The executor that Dask's ``Client.get_executor`` returns cannot stop tasks. Also,
    its futures never end if the result of a task cannot be fetched or loaded.
    """

    def __init__(self, client: Client, scheduler: str, stopping: Stopping) -> None:
        self.client, self.scheduler, self.stopping = client, scheduler, stopping
        self.run = uuid4().hex
        self.tasks: list[Task[Any]] = []

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Submit a call to the cluster, with the *kwargs* of ``Client.submit``."""
        task: Task[T] = self.client.submit(fn, *args, pure=False, **kwargs)
        self.tasks.append(task)
        return background.start(task.result)

    def cancel_queued(self) -> None:
        """Cancel the tasks that have not begun. The others stop at the deadline."""
        begun = {key for keys in self.client.processing().values() for key in keys}
        self.cancel([task for task in self.tasks if task.key not in begun])

    def terminate_workers(self) -> None:
        """Pass the signal on to the tasks that have begun."""
        tell = partial(self.client.run, stop, self.run, self.stopping.signal)
        # In a thread, because a worker may not answer.
        background.start(partial(tell, on_error="ignore"))

    def kill_workers(self) -> None:
        """Cancel all tasks. A worker commits its current batch first."""
        self.cancel(self.tasks)

    def cancel(self, tasks: Sequence[Task[Any]]) -> None:
        """Cancel each of *tasks* that has not ended."""
        self.client.cancel([task for task in tasks if not task.done()])

    def explain(self, mapping: CellMapping, error: Exception) -> CellmapError:
        """Return the error for a cell whose task returned no report."""
        if isinstance(error, CancelledError):
            return SchedulerLost(scheduler=self.scheduler)
        if isinstance(error, KilledWorker):
            count = error.allowed_failures + 1
            why = f"on {count} workers, one after another"
            return WorkerKilled(cell=mapping, signal=why)
        why = secrets.mask(f"{type(error).__name__}: {error}")
        return WorkerUnfit(cell=mapping, message=why)


TCP, TLS = "tcp", "tls"

# A host name or an address. An @ would end a login, and a scheduler has no logins.
HOST = re.compile(r"[\w.:%-]+")

HIGHEST_PORT = 65_535

# Seconds to close the connection to the scheduler.
CLOSE_SECONDS = 1.0


def refuse(scheduler: str) -> None:
    """Raise BadOption for an address that no client can use.

    This is checked without a client, because the destructor of a client that could not
    connect waits, and prints a traceback after the last line.
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
    # Dask opens the files that its configuration names, and parses its values.
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
    mappings: Sequence[CellMapping],
    identities: Identities,
    *,
    work: Callable[[Cell], None],
    arguments: Sequence[str],
    scheduler: str,
) -> list[Report]:
    """Do *work* for every cell on the workers; return the reports.

    The workers get the ``-x`` *arguments* and the uuid of a cell. A signal or the time
    limit stops all tasks. Raises BadOption, Unreachable or SchedulerLost.
    """
    if not mappings:
        return []
    # Dask's warnings would follow the error, which must be the last line.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    config, stopping = identities.settings, identities.stopping
    left = stopping.left()
    deadline = None if left is None else time.time() + left
    client = connect(scheduler, config.connect_timeout)
    cluster = Cluster(client, scheduler, stopping)

    def submit(mapping: CellMapping) -> Future[Report]:
        order = partial(carry_out, cluster.run, mapping.uuid, arguments, work)
        key = f"cellmap-{cluster.run}-{mapping.uuid}"
        limits = {"read_only": config.read_only, "deadline": deadline}
        return cluster.submit(partial(order, **limits), key=key)

    try:
        return finish(mappings, submit, cluster, stopping)
    except OSError as error:
        raise SchedulerLost(scheduler=scheduler) from error
    finally:
        # After a signal there is no time to close the connection.
        if not stopping.signal:
            client.close(timeout=CLOSE_SECONDS)


def connect(scheduler: str, patience: float) -> Client:
    """Return a client of the *scheduler* as soon as that has a worker.

    Raises BadOption, or Unreachable after *patience* seconds.
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
        client.close(timeout=CLOSE_SECONDS)
        message = "start dask worker on some hosts"
        raise Unreachable(f"a worker of {what}", patience, message) from error
    return client
