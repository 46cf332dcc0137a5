"""Ask the server, a replica or a file whether the run must pause."""

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
    """Define a source of reasons to pause; *option* is the name of its setting."""

    option: ClassVar[str]

    @abstractmethod
    def pause_reason(self) -> str | None:
        """Return why the run must pause now, or None. Raises Unmeasured."""

    def close(self) -> None:  # noqa: B027 - most signals open nothing
        """Close the connections of this signal."""


T = TypeVar("T")


def ask(database: Database, question: Callable[[sa.Connection], T]) -> T:
    """Return the answer to *question*, asked once; raise Unmeasured if it fails."""
    try:
        with database.reading(status=True) as connection:
            return question(connection)
    except RightMissing as error:
        raise RightMissing(f"{database.what}: the right {error} is missing") from error
    except database.errors as error:
        raise Unmeasured(f"{database.what}: {message(error)}") from error


class PauseFile(Signal):
    """Ask for a pause while a file exists."""

    option = "pause_file"

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def pause_reason(self) -> str | None:
        """Return that the file exists, or None; raise Unmeasurable if it is unknown."""
        if not self.path.is_absolute():
            raise Unmeasurable("write an absolute path")
        try:
            # Not exists(), which returns False in a folder that may not be entered.
            self.path.stat()
        except FileNotFoundError:
            if self.path.parent.is_dir():
                return None
            raise Unmeasurable(f"there is no folder {self.path.parent}") from None
        except OSError as error:
            raise Unmeasurable(
                f"{error.strerror}, so the file could not be seen"
            ) from None
        return f"{self.path} exists"


class RunningThreads(Signal):
    """Ask for a pause while the server runs too many statements at the same time."""

    option = "max_threads_running"

    def __init__(self, api: Database, settings: Callable[[], Settings]) -> None:
        self.api, self.settings = api, settings

    def pause_reason(self) -> str | None:
        """Return the number of running threads if it is above the limit, or None.

        The thread of this query counts.
        """
        most = self.settings().max_threads_running
        if most is None:
            return None
        running = ask(self.api, self.api.backend.status.running)
        if running <= most:
            return None
        return f"{running} threads are running on the API server (max {most})"


# The largest part of the time for which flow control may stop the cluster.
HELD = 0.1


class ClusterNode(Signal):
    """Ask for a pause while the cluster or its node cannot apply writes in time."""

    option = "cluster"

    def __init__(self, api: Database) -> None:
        self.api, self.clock = api, api.stopping.clock
        # By the name of the node: the time of the last query, and the seconds of flow
        # control. A proxy may lead each connection to another node.
        self.seen: dict[str, tuple[float, float]] = {}

    @staticmethod
    def is_possible(api: Database) -> bool:
        """Return True if the API server may be in a cluster and shows its status.

        The result is also True for a server that does not answer now: the run then
        pauses until it answers.
        """
        try:
            return ask(api, api.backend.status.node) is not None
        except Unmeasurable as error:
            say(f"warning: the cluster's queue is not watched: {message(error)}")
            return False
        except Unmeasured:
            return True

    def pause_reason(self) -> str | None:
        """Return why the node or the cluster cannot apply writes in time, or None."""
        node = ask(self.api, self.api.backend.status.node)
        if node is None:
            return None
        now = self.clock()
        before, paused = self.seen.get(node.name, (now, node.paused))
        self.seen[node.name] = now, node.paused
        if not node.ready:
            return f"the server is not a ready part of its {node.cluster}"
        if node.queue > node.most:
            return f"{node.queue:,} {node.waiting}"
        held = (node.paused - paused) / (now - before) if now > before else 0.0
        if held > HELD:
            return f"flow control held the {node.cluster} for {held:.0%} of the time"
        return None


class ReplicaLag(Signal):
    """Ask for a pause while a replica is more than ``max_lag`` seconds behind."""

    option = "replicas"

    def __init__(
        self, settings: Callable[[], Settings], api: Database, name: str
    ) -> None:
        """Open the replica *name*.

        Raises BadOption, and the errors of ``connect.connect``.
        """
        self.settings, self.name, self.api = settings, name, api
        self.database = replica_database(settings(), api, name)
        self.clock = api.stopping.clock
        self.ends: deque[tuple[float, int]] = deque()

    def pause_reason(self) -> str | None:
        """Return the seconds by which the replica is behind if too many, or None."""
        most = self.settings().max_lag
        assert most is not None
        if (seconds := self.lag()) > most:
            return f"replica {self.name} is {seconds:.0f} s behind"
        return None

    def lag(self) -> float:
        """Return the seconds by which the replica is behind; raise Unmeasured."""
        status = self.database.backend.status
        replication = ask(
            self.database, lambda connection: status.replication(connection, self.name)
        )
        return max(replication.seconds, self.unreplayed_seconds(replication))

    def unreplayed_seconds(self, replication: Replication) -> float:
        """Return for how many seconds the replica has not replayed the oldest write.

        Each call remembers the end of the server's log, and forgets the ends that the
        replica has reached.
        """
        now = self.clock()
        self.ends.append((now, replication.written))
        while self.ends and self.ends[0][1] <= replication.replayed:
            self.ends.popleft()
        return now - self.ends[0][0] if self.ends else 0.0

    def close(self) -> None:
        """Close the replica's database, unless it is the API database."""
        if self.database is not self.api:
            self.database.close()


def replica_database(settings: Settings, api: Database, name: str) -> Database:
    """Return the database to ask for the lag of the replica *name*.

    The primary of PostgreSQL measures the lag itself. Otherwise the replica is opened.
    """
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
