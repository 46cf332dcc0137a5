"""Define the queries of a server's identity, load and replicas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlalchemy as sa


class Unmeasured(Exception):
    """Report a value that cannot be measured now; the message gives the reason."""


class Unmeasurable(Unmeasured):
    """Report a value that this server never has, which is an error of an option."""


class RightMissing(Unmeasured):
    """Report a missing privilege to measure a value; the message names it."""


@dataclass(frozen=True, kw_only=True)
class Replication:
    """Hold the lag of a replica in seconds, and two positions in the server's log."""

    seconds: float = 0.0
    written: int = 0
    replayed: int = 0


@dataclass(frozen=True, kw_only=True)
class Node:
    """Hold the state of a node of a Galera cluster, or of a group of MySQL.

    *queue* is the number of transactions that wait to be applied, and *most* the
    number that may wait. *paused* is the total number of seconds that flow control has
    paused the node; a group does not count them. *cluster* and *waiting* are for
    messages.
    """

    name: str
    ready: bool
    queue: int
    most: int
    paused: float = 0.0
    cluster: str
    waiting: str


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Identify a database by values of its server, independent of its address.

    *name* is for output and for the journal. It does not change when the server is
    restarted, and is the same on every node of a cluster. *key* also differs between a
    server and a physical copy of it. *rows* are the newest instances of a cell.
    """

    name: str
    key: str
    rows: frozenset[tuple[Any, ...]] = frozenset()

    def same(self, other: Identity) -> bool:
        """Return True if both identities are of one database.

        Two servers in containers may have the same key, so their rows must agree too.
        """
        alike = self.rows & other.rows or not (self.rows or other.rows)
        return self.key == other.key and bool(alike)


class Status:
    """Implement the queries of a database without load and replicas."""

    def identity(self, connection: sa.Connection) -> Identity:
        """Return the identity of the database that *connection* leads to."""
        raise NotImplementedError

    def running(self, connection: sa.Connection) -> int:
        """Return the number of sessions that run a statement, including this one."""
        del connection
        raise Unmeasurable("this database has no running threads")

    def commits(self, connection: sa.Connection) -> int:
        """Return a number that grows by one with each transaction that writes."""
        del connection
        raise Unmeasurable("this database does not count transactions")

    def where(self, url: sa.URL, replica: str) -> sa.URL:
        """Return the URL to query the lag of *replica*; *url* is the API database's."""
        del url, replica
        raise Unmeasurable("this database has no replicas")

    def replication(self, connection: sa.Connection, replica: str) -> Replication:
        """Return the lag of *replica*.

        Raises Unmeasured while it does not replicate, Unmeasurable if it is no replica,
        or RightMissing.
        """
        raise NotImplementedError

    def node(self, connection: sa.Connection) -> Node | None:
        """Return the state of the server in its cluster, or None without one."""
        del connection
        return None
