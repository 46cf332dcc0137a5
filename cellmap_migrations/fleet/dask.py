"""Run a task for each cell on a Dask cluster.

A task whose worker dies is given to another one, which goes on after the last batch in
the journal. Should the first one live after all, the journal lets only one of them go
on.
"""

from __future__ import annotations

import logging
import re
import time
from typing import TYPE_CHECKING

from distributed import Client

# On Python 3.10 it is another one than Python's own.
from distributed import TimeoutError as TimedOut
from distributed.comm.addressing import parse_address, parse_host_port
from distributed.security import Security

from cellmap_migrations import secrets
from cellmap_migrations.errors import BadOption, SchedulerLost, Unreachable
from cellmap_migrations.fleet.remote import Order
from cellmap_migrations.fleet.tasks import FETCH, Tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cellmap_migrations.cell import Cell
    from cellmap_migrations.directory import CellMapping
    from cellmap_migrations.reporting import Report
    from cellmap_migrations.settings import Settings
    from cellmap_migrations.stopping import Stopping

TCP, TLS = "tcp", "tls"
# A name or an address; an @ would end a login, which no scheduler asks for.
HOST = re.compile(r"[\w.:%-]+")
HIGHEST_PORT = 65_535


def refuse(scheduler: str) -> None:
    """Raise BadOption for an address that no client can use.

    Before there is a client: one that could not begin waits when it is thrown away, and
    prints a traceback after the last line.
    """
    # It may hold what was meant as a password, also where it is no URL.
    _, at, address = scheduler.rpartition("@")
    shown = f"{secrets.MASKED}{at}{address}" if at else address
    try:
        scheme, place = parse_address(scheduler)
        host, port = parse_host_port(place)
        host.encode("idna")
    except ValueError:
        scheme, host, port = "", "", 0
    usable = HOST.fullmatch(host) and 0 < port <= HIGHEST_PORT
    if scheme not in (TCP, TLS) or not usable:
        raise BadOption("scheduler", shown, "write tcp://host:port or tls://host:port")
    try:
        given = Security().get_connection_args("client")
    # Whatever a file or a value of Dask's configuration leads to.
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        why = f"Dask's configuration has a wrong distributed.comm.tls: {error}"
        raise BadOption("scheduler", shown, secrets.mask(why)) from error
    if scheme == TLS and given["ssl_context"] is None:
        raise BadOption(
            "scheduler",
            shown,
            "Dask's configuration has no certificates; set ca-file, client.cert and "
            "client.key of distributed.comm.tls",
        )
    if scheme == TCP and given["require_encryption"]:
        why = "Dask's configuration requires encryption; write tls://host:port"
        raise BadOption("scheduler", shown, why)


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
        raise SchedulerLost(scheduler) from error
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
