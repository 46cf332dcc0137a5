"""Measure how much longer others wait for the API database while this run writes."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING
from uuid import uuid4

import sqlalchemy as sa

from cellmap_migrations.bookkeeping.tables import versions
from cellmap_migrations.cell.pace import Latency, Pace
from cellmap_migrations.cell.signals import ask
from cellmap_migrations.common.stderr import say
from cellmap_migrations.databases.base import READING, autocommits
from cellmap_migrations.databases.database import message
from cellmap_migrations.databases.status import Unmeasurable, Unmeasured

if TYPE_CHECKING:
    from collections.abc import Callable

    from cellmap_migrations.cell.control import Control
    from cellmap_migrations.databases.database import Database


# Seconds from the first to the second look for others, and between later ones.
SECOND_LOOK, EVERY = 0.25, 1.0

# Seconds for which the commits of others are counted.
WINDOW = 10.0

# Seconds between two probes while the run writes, and while it rests.
WRITING, RESTING = 0.1, 0.005

# Seconds between two rests, in each of which this many probes measure the latency
# without this run. A rest costs more if it has to wait for several writers.
REST_EVERY, REST_OF_SEVERAL, PROBES = 1.0, 10.0, 2


class Neighbours:
    """Count the transactions of all others on the server of the API database."""

    def __init__(self, api: Database) -> None:
        self.api, self.clock = api, api.stopping.clock
        # The transactions that this process began, and which may write.
        self.begun = 0
        self.total = 0
        # Times, and the numbers of transactions of others until then.
        self.seen: deque[tuple[float, int]] = deque()
        sa.event.listen(api.engine, "begin", self.count)

    def count(self, connection: sa.Connection) -> None:
        """Count a transaction of this process that may write."""
        reads = READING in connection.get_execution_options()
        self.begun += not (reads or autocommits(connection))

    def look(self) -> bool | None:
        """Return True if others commit more than once a second; None at first.

        A transaction that this process began and did not commit yet, or rolled back,
        hides one of others. Raises Unmeasured.
        """
        total = ask(self.api, self.api.backend.status.commits)
        if total < self.total:
            # The server was restarted, or is another one.
            self.seen.clear()
        self.total, now = total, self.clock()
        known = self.seen[-1][1] if self.seen else -math.inf
        self.seen.append((now, int(max(total - self.begun, known))))
        while self.seen[0][0] < now - WINDOW:
            self.seen.popleft()
        (since, before), (_, others) = self.seen[0], self.seen[-1]
        if len(self.seen) == 1:
            return None
        return others - before > 1 + now - since

    def close(self) -> None:
        """Count no more."""
        sa.event.remove(self.api.engine, "begin", self.count)


class Slowdown:
    """Limit a run while others use the API database, by what a probe measures.

    The probe is a transaction as short as those of a boot. It inserts a row into
    ``cellmap_version`` and deletes it again, so that no other session ever sees it.
    """

    def __init__(self, control: Control, api: Database) -> None:
        self.control, self.api, self.clock = control, api, api.stopping.clock
        self.neighbours, self.pace = Neighbours(api), Pace()
        # None until the second look. SQLite never says.
        self.has_neighbours: bool | None = None
        self.measurable = api.backend.works_by_itself
        key = {"cell_uuid": str(uuid4()), "version_num": ""}
        # With all columns: their defaults are those of a cell.
        self.insert = sa.insert(versions).values(dict.fromkeys(versions.c.keys()) | key)
        self.delete = sa.delete(versions).filter_by(**key)
        self.next_look = self.next_probe = self.next_rest = self.clock()

    @property
    def bound(self) -> float:
        """Return ``max_slowdown``, or infinity if nothing is to be measured."""
        return self.control.settings.max_slowdown if self.measurable else math.inf

    @property
    def limits(self) -> bool:
        """Return True if others use the database, and the run slows down for them."""
        return not math.isinf(self.bound) and bool(self.has_neighbours)

    @property
    def room(self) -> float:
        """Return the number of batches that may be written at a time.

        Less than one is the part of the time in which one may be written.
        """
        if math.isinf(self.bound) or self.has_neighbours is False:
            return math.inf
        return self.pace.room

    @property
    def share(self) -> float:
        """Return the part of the time in which the run may work."""
        return min(1.0, self.room)

    @property
    def sleep_ratio(self) -> float:
        """Return how many times as long as a batch takes the run has to sleep."""
        return 1 / self.share - 1

    def writers(self, own: int) -> int:
        """Return how many of *own* batches may be written at the same time."""
        return int(min(own, max(1.0, self.room)))

    def __str__(self) -> str:
        return f"others wait {self.pace.slowdown:.1f} times as long (max_slowdown)"

    def look(self, drain: Callable[[], object]) -> bool:
        """Look for others, and adapt the pace, if it is time to.

        Returns True if the run rested to measure; *drain* ended its batches before.
        """
        if math.isinf(self.bound):
            return False
        if self.clock() >= self.next_look:
            self.look_for_neighbours()
            known = self.has_neighbours is not None
            self.next_look = self.clock() + (EVERY if known else SECOND_LOOK)
            if self.has_neighbours:
                self.pace.adapt(self.bound, self.control.settings.writers)
            elif known:
                self.pace = Pace()
        if not self.pace.beside.count or self.clock() < self.next_rest:
            return False
        drain()
        for _ in range(PROBES):
            self.probe(self.pace.alone)
            self.api.stopping.pause(RESTING)
        several = self.writers(self.control.settings.writers) > 1
        self.next_rest = self.clock() + (REST_OF_SEVERAL if several else REST_EVERY)
        return True

    def look_for_neighbours(self) -> None:
        """Find out whether others use the database; after an error nothing changes."""
        try:
            self.has_neighbours = self.neighbours.look()
        except Unmeasurable as error:
            self.give_up(error)
        except Unmeasured:
            return

    def measure_writing(self) -> None:
        """Measure the latency beside a batch under way, if it is time to."""
        if self.clock() >= self.next_probe:
            self.probe(self.pace.beside)
            self.next_probe = self.clock() + WRITING

    def measure_sleeping(self) -> None:
        """Measure the latency while this run does nothing."""
        self.probe(self.pace.alone)

    def probe(self, latency: Latency) -> None:
        """Add a sample to *latency*, unless no one else uses the database.

        An error that may pass counts with the seconds it took: others meet it, too.
        After any other error nothing is measured any more.
        """
        if not self.limits:
            return
        started = self.clock()
        try:
            with self.api.engine.connect() as connection:
                started = self.clock()
                with connection.begin():
                    connection.execute(self.insert)
                    connection.execute(self.delete)
        except self.api.errors as error:
            if not self.api.is_transient(error):
                self.give_up(error)
        latency.add(self.clock() - started)

    def give_up(self, error: Exception) -> None:
        """Measure nothing any more after *error*, and print a warning."""
        self.measurable = False
        say(f"warning: max_slowdown has no effect: {message(error)}")

    def close(self) -> None:
        """Stop counting."""
        self.neighbours.close()
