"""Ask a server, a replica or a file whether a run must pause."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeVar

from cellmap_migrations.common.errors import BadOption
from cellmap_migrations.common.stderr import say
from cellmap_migrations.databases import connect
from cellmap_migrations.databases.database import message
from cellmap_migrations.databases.status import (
    Replication,
    RightMissing,
    Unmeasurable,
    Unmeasured,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import sqlalchemy as sa

    from cellmap_migrations.config.settings import Settings
    from cellmap_migrations.databases.database import Database


class Signal(ABC):
    """May ask for a pause; *option* is what an operator knows it by."""

    option: ClassVar[str]

    @abstractmethod
    def reason(self) -> str | None:
        """Return why there has to be a pause, or None. Raises Unmeasured."""

    def close(self) -> None:  # noqa: B027 - most signals open nothing
        """Close what was opened for this signal."""


T = TypeVar("T")


def ask(database: Database, question: Callable[[sa.Connection], T]) -> T:
    """Return the answer, once; raise Unmeasured also where there is none."""
    try:
        with database.reading(status=True) as connection:
            return question(connection)
    except RightMissing as error:
        raise RightMissing(f"{database.what}: the right {error} is missing") from error
    except database.errors as error:
        raise Unmeasured(f"{database.what}: {message(error)}") from error


class PauseFile(Signal):
    """Asks for a pause as long as a file is there."""

    option = "pause_file"

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def reason(self) -> str | None:
        """Say that the file is there; raise Unmeasurable if that cannot be seen."""
        if not self.path.is_absolute():
            raise Unmeasurable("write an absolute path")
        try:
            # Not exists(), to which a folder that may not be entered is empty.
            self.path.stat()
        except FileNotFoundError:
            if self.path.parent.is_dir():
                return None
            raise Unmeasurable(f"there is no folder {self.path.parent}") from None
        except OSError as error:
            raise Unmeasurable(f"{error.strerror}, so nobody could see it") from None
        return f"{self.path} exists"


class RunningThreads(Signal):
    """Asks for a pause while too many sessions of the server are at work."""

    option = "max_threads_running"

    def __init__(self, api: Database, most: int) -> None:
        self.api, self.most = api, most

    def reason(self) -> str | None:
        """Say how many are running, the one that asks included, if it is too many."""
        running = ask(self.api, self.api.backend.status.running)
        if running <= self.most:
            return None
        return f"{running} threads are running on the API server (max {self.most})"


# Write sets that the node has received and not applied. At 16, by default, it would
# ask the whole cluster to wait: gcs.fc_limit.
QUEUE = 10

# The share of the time for which flow control may hold the cluster.
HELD = 0.1


class GaleraNode(Signal):
    """Asks for a pause while the cluster, or this node of it, does not keep up."""

    option = "Galera"

    def __init__(self, api: Database) -> None:
        self.api, self.clock = api, api.stopping.clock
        # By node: a proxy may lead each connection to another one.
        self.seen: dict[str, tuple[float, float]] = {}

    @staticmethod
    def found(api: Database) -> bool:
        """Say whether the API database's server may be a node that tells its state.

        One that does not answer now may be one; then there is a pause until it does.
        """
        try:
            return ask(api, api.backend.status.node) is not None
        except Unmeasurable as error:
            say(f"warning: Galera's flow control is not watched: {message(error)}")
            return False
        except Unmeasured:
            return True

    def reason(self) -> str | None:
        """Say what the cluster suffers from."""
        node = ask(self.api, self.api.backend.status.node)
        if node is None:
            return None
        now = self.clock()
        before, paused = self.seen.get(node.name, (now, node.paused))
        self.seen[node.name] = now, node.paused
        if not node.ready:
            return "the Galera node is not ready"
        if node.queue > QUEUE:
            return f"{node.queue} write sets wait in the Galera node's receive queue"
        held = (node.paused - paused) / (now - before) if now > before else 0.0
        if held > HELD:
            return f"flow control held the Galera cluster for {held:.0%} of the time"
        return None


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
    return connect.connect(
        where,
        what=f"replica {name}",
        settings=settings,
        stopping=api.stopping,
        read_only=True,
    )
