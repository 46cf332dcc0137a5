"""What a server says of its own load, and of its replicas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlalchemy as sa


class Unmeasured(Exception):
    """Something that cannot be measured now; the text says why."""


class Unmeasurable(Unmeasured):
    """Something that this server never says; the text is for who asks for it."""


class RightMissing(Unmeasured):
    """Something that the user may not see; the text names the right."""


@dataclass(frozen=True, kw_only=True)
class Replication:
    """How far a replica is behind: in seconds, and in places of the server's log."""

    seconds: float = 0.0
    written: int = 0
    replayed: int = 0


@dataclass(frozen=True, kw_only=True)
class Node:
    """What a node of a Galera cluster says of itself.

    *paused* is for how many seconds in all flow control has held the node.
    """

    name: str
    ready: bool
    paused: float
    queue: int


class Status:
    """A database that says nothing of itself, such as a file."""

    def running(self, connection: sa.Connection) -> int:
        """Return how many sessions are at work, the one that asks included."""
        del connection
        raise Unmeasurable("this database has no running threads")

    def where(self, url: sa.URL, replica: str) -> sa.URL:
        """Return where the lag of *replica* is asked, for the API database at *url*."""
        del url, replica
        raise Unmeasurable("this database has no replicas")

    def replication(self, connection: sa.Connection, replica: str) -> Replication:
        """Return how far *replica* is.

        Raises Unmeasured while it does not replicate, Unmeasurable if it is none, or
        RightMissing.
        """
        raise NotImplementedError

    def node(self, connection: sa.Connection) -> Node | None:
        """Return the state of a Galera node, or None where there is no Galera."""
        del connection
        return None
