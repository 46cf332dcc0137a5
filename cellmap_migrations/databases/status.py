"""What a server says of its own load, and of its replicas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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


@dataclass(frozen=True, kw_only=True)
class Identity:
    """The database that answers, in its server's words, whatever its address says.

    *name* is for people and for the journal. It stays the same while the data does:
    when the server is restarted, and on every node of a cluster. *key* also tells a
    server from a physical copy of it that runs beside it. *rows* are those with the
    highest ids, if the tables are those of a cell.
    """

    name: str
    key: str
    rows: frozenset[tuple[Any, ...]] = frozenset()

    def same(self, other: Identity) -> bool:
        """Return True if both are one database.

        Containers can give two servers the same names, so that the rows decide.
        """
        alike = self.rows & other.rows or not (self.rows or other.rows)
        return self.key == other.key and bool(alike)


class Status:
    """A database that says nothing of its load, such as a file."""

    def identity(self, connection: sa.Connection) -> Identity:
        """Return the identity of the database that *connection* leads to."""
        raise NotImplementedError

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
