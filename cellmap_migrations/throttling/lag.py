"""``max_lag``: how far the replicas of the API database are behind."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from cellmap_migrations import connecting
from cellmap_migrations.backends import Replication, Unmeasurable
from cellmap_migrations.errors import BadOption
from cellmap_migrations.throttling.asking import ask
from cellmap_migrations.throttling.signal import Signal

if TYPE_CHECKING:
    from cellmap_migrations.databases import Database
    from cellmap_migrations.settings import Settings


class ReplicaLag(Signal):
    """Asks for a pause while a replica is too far behind."""

    option = "replicas"

    def __init__(self, settings: Settings, api: Database, name: str) -> None:
        """Open the replica; raise BadOption or Unreachable, among others."""
        assert settings.max_lag is not None
        self.most, self.name, self.api = settings.max_lag, name, api
        self.database = place(settings, api, name)
        self.clock = api.stopping.clock
        self.ends: deque[tuple[float, int]] = deque()

    def reason(self) -> str | None:
        """Say how many seconds the replica is behind."""
        if (seconds := self.lag()) > self.most:
            return f"replica {self.name} is {seconds:.0f} s behind"
        return None

    def lag(self) -> float:
        """Return the seconds by which it is behind; raise Unmeasured."""
        status = self.database.backend.status
        found = ask(
            self.database, lambda connection: status.replication(connection, self.name)
        )
        return max(found.seconds, self.waiting(found))

    def waiting(self, found: Replication) -> float:
        """Return for how long it has not replayed what was written before.

        The end of the log is remembered at each look.
        """
        now = self.clock()
        self.ends.append((now, found.written))
        while self.ends and self.ends[0][1] <= found.replayed:
            self.ends.popleft()
        return now - self.ends[0][0] if self.ends else 0.0

    def close(self) -> None:
        """Close the replica's own database."""
        if self.database is not self.api:
            self.database.close()


def place(settings: Settings, api: Database, name: str) -> Database:
    """Return where to ask: the replica, or the API database if that knows of it."""
    url = api.engine.url
    try:
        where = api.backend.status.where(url, name)
    except Unmeasurable as error:
        raise BadOption("replicas", name, str(error)) from None
    if where == url:
        return api
    return connecting.connect(
        where,
        what=f"replica {name}",
        settings=settings,
        stopping=api.stopping,
        read_only=True,
    )
