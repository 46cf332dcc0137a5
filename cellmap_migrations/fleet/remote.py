"""What a worker of a cluster does: one cell, as its own nova.conf says."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from threading import Lock
from typing import TYPE_CHECKING

from cellmap_migrations import running, settings
from cellmap_migrations.stopping import Stopping

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cellmap_migrations.cell import Cell
    from cellmap_migrations.reporting import Report
    from cellmap_migrations.settings import Settings

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
        mine = settings.load(self.arguments)
        return replace(mine, time_limit=left, read_only=self.read_only)


def carry_out(order: Order) -> Report:
    """Do the work for the cell of *order*, and return how it ended."""
    place = order.run, order.cell
    stopping = AT_WORK[place] = Stopping()
    if order.run in STOPPED:
        stopping.stop(STOPPED[order.run])
    try:
        with ONE_AT_A_TIME:
            return running.alone(
                order.load, order.work, cell=order.cell, stopping=stopping
            )
    finally:
        del AT_WORK[place]


def stop(run: str, signal: str) -> None:
    """End what *run* asked for, after the batch in hand; *signal* is what it got."""
    STOPPED[run] = signal
    for (whose, _), stopping in list(AT_WORK.items()):
        if whose == run:
            stopping.stop(signal)
