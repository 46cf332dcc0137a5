"""Run a task for each cell on a Dask cluster.

A task whose worker dies is given to another one, which goes on after the last batch in
the journal. Should the first one live after all, the journal lets only one of them go
on.
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

# On Python 3.10 it is another one than Python's own.
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

# What this process was told by each run, by the name of the run.
TOLD: dict[str, Stopping] = {}


def carry_out(
    run: str,
    cell: str,
    arguments: Sequence[str],
    work: Callable[[Cell], None],
    *,
    read_only: bool,
    deadline: float | None,
) -> Report:
    """Do *work* for *cell* on a worker, with the settings of that host.

    *arguments* are those of ``-x``: they name files and no database. The *deadline* is
    Unix time: hosts of one cloud agree about that.
    """

    def load() -> Settings:
        left = None if deadline is None else max(deadline - time.time(), 0.0)
        mine = settings.load([*arguments, f"cell={cell}"])
        return replace(mine, time_limit=left, read_only=read_only)

    with ONE_AT_A_TIME:
        return run_one(load, work, cell=cell, stopping=stopping_of(run))


def stopping_of(run: str) -> Stopping:
    """Return what *run* has told this process."""
    return TOLD.setdefault(run, Stopping())


def stop(run: str, signal: str) -> None:
    """End what *run* asked for, after the batch in hand; *signal* is what it got."""
    stopping_of(run).stop(signal)


class Cluster(Workers):
    """Makes a task of each call, and can tell those at work to end.

    The executor of Dask's own ``Client.get_executor`` cannot do that. Its futures also
    never end if the result of a task cannot be fetched or loaded.
    """

    def __init__(self, client: Client, scheduler: str, stopping: Stopping) -> None:
        self.client, self.scheduler, self.stopping = client, scheduler, stopping
        self.run = uuid4().hex
        self.tasks: list[Task[Any]] = []

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Hand over a call to the cluster; *kwargs* are those of ``Client.submit``."""
        task: Task[T] = self.client.submit(fn, *args, pure=False, **kwargs)
        self.tasks.append(task)
        return background.start(task.result)

    def cancel_queued(self) -> None:
        """Forget the tasks that have not begun: the others know the deadline."""
        begun = {key for keys in self.client.processing().values() for key in keys}
        self.forget([task for task in self.tasks if task.key not in begun])

    def terminate_workers(self) -> None:
        """Pass the signal on to the tasks that have begun."""
        tell = partial(self.client.run, stop, self.run, self.stopping.signal)
        # In a thread, for a worker that does not answer.
        background.start(partial(tell, on_error="ignore"))

    def kill_workers(self) -> None:
        """Forget all tasks: the workers end theirs after the batch in hand."""
        self.forget(self.tasks)

    def forget(self, tasks: Sequence[Task[Any]]) -> None:
        """Cancel those of *tasks* that have not ended."""
        self.client.cancel([task for task in tasks if not task.done()])

    def explain(self, cell: CellMapping, error: Exception) -> CellmapError:
        """Return the error for a cell whose task has no report."""
        if isinstance(error, CancelledError):
            return SchedulerLost(scheduler=self.scheduler)
        if isinstance(error, KilledWorker):
            count = error.allowed_failures + 1
            why = f"on {count} workers, one after another"
            return WorkerKilled(cell=cell, signal=why)
        why = secrets.mask(f"{type(error).__name__}: {error}")
        return WorkerUnfit(cell=cell, message=why)


TCP, TLS = "tcp", "tls"

# A name or an address; an @ would end a login, which no scheduler asks for.
HOST = re.compile(r"[\w.:%-]+")

HIGHEST_PORT = 65_535

# Seconds to take leave of the scheduler.
FAREWELL = 1.0


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
    identities: Identities,
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
    config, stopping = identities.settings, identities.stopping
    left = stopping.left()
    deadline = None if left is None else time.time() + left
    client = connect(scheduler, config.connect_timeout)
    cluster = Cluster(client, scheduler, stopping)

    def submit(cell: CellMapping) -> Future[Report]:
        order = partial(carry_out, cluster.run, cell.uuid, arguments, work)
        key = f"cellmap-{cluster.run}-{cell.uuid}"
        limits = {"read_only": config.read_only, "deadline": deadline}
        return cluster.submit(partial(order, **limits), key=key)

    try:
        return finish(cells, submit, cluster, stopping)
    except OSError as error:
        raise SchedulerLost(scheduler=scheduler) from error
    finally:
        # After a signal there is no time for a farewell.
        if not stopping.signal:
            client.close(timeout=FAREWELL)


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
        client.close(timeout=FAREWELL)
        message = "start dask worker on some hosts"
        raise Unreachable(f"a worker of {what}", patience, message) from error
    return client
