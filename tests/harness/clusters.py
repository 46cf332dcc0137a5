"""A cluster of three servers behind HAProxy, to whose nodes things happen."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

import sqlalchemy as sa

from cellmap_migrations.testing.servers import plain_engine
from cellmap_migrations.testing.servers.mysql import MySQLServer
from tests.harness.haproxy import Check, HAProxy
from tests.harness.sessions import Sessions
from tests.harness.waiting import wait_for

MINUTES = 180.0

HELD = "CREATE TABLE other.held (n INT PRIMARY KEY AUTO_INCREMENT)"

Node = TypeVar("Node", bound=MySQLServer)


class Led(MySQLServer):
    """A node that makes databases, which are reached by way of *lead*."""

    lead: Callable[[sa.URL], sa.URL]

    def create_database(
        self, name: str, tables: sa.MetaData | None = None, *, owner: str = "nova"
    ) -> sa.URL:
        """Create a database, and return the URL that the proxy has for it."""
        return self.lead(super().create_database(name, tables, owner=owner))


class Cluster(ABC, Generic[Node]):
    """Three nodes in *folders*, and HAProxy before them in one more."""

    first: Node

    def __init__(self, folders: Sequence[Path]) -> None:
        *inside, front = folders
        self.nodes: list[Node] = []
        self.closing = ExitStack()
        with ExitStack() as failing:
            failing.callback(self.close)
            # One after another: a port may be taken between its choice and its use.
            for folder in inside:
                self.add(self.make(folder))
                if len(self.nodes) == 1:
                    # The others get it when they join.
                    self.first.execute("CREATE DATABASE other")
                    self.first.execute(HELD)
            self.proxy = HAProxy(front, list(map(self.check, self.nodes)))
            self.closing.callback(self.proxy.close)
            assert isinstance(self.first, Led)
            self.first.lead = self.lead
            failing.pop_all()

    @abstractmethod
    def make(self, folder: Path) -> Node:
        """Make the next node, which is ``first`` if it is the first one."""

    @abstractmethod
    def admit(self, node: Node, others: Sequence[Node]) -> None:
        """Start *node* if need be, and let it join *others*, or found the cluster."""

    @abstractmethod
    def check(self, node: Node) -> Check:
        """Tell HAProxy whether the node may be used."""

    @abstractmethod
    def wait_for_others(self, connection: sa.Connection) -> None:
        """Let a session see everything that was committed on any node by now."""

    @abstractmethod
    def size(self, node: Node) -> int:
        """Return of how many nodes a node thinks that the cluster has."""

    @abstractmethod
    def rejections(self, node: Node) -> int:
        """Return how many transactions certification has refused on a node."""

    def add(self, node: Node) -> None:
        """Start another node."""
        self.closing.callback(node.close)
        # Nobody needs what it knows in the end.
        self.closing.callback(node.daemon.kill)
        self.admit(node, list(self.nodes))
        self.nodes.append(node)

    def start(self) -> None:
        """Return when every node serves and is in step with the others."""
        wait_for(self.healed, "a whole cluster in step", seconds=MINUTES)

    def healed(self) -> bool:
        """Let nodes join that are out; say whether all are in, and in step.

        A node that was cut off notices that only some time after the others.
        """
        self.admit_all()
        return all(
            answered(self.whole, node) and answered(self.in_step, node)
            for node in self.nodes
        )

    def admit_all(self) -> None:
        """Start every node that does not run, and let it join the others."""
        for node in self.nodes:
            others = [other for other in self.nodes if other is not node]
            self.admit(node, [other for other in others if other.daemon.running()])

    def whole(self, node: Node) -> bool:
        """Say whether a node has all others."""
        return self.size(node) == len(self.nodes)

    def lead(self, url: sa.URL) -> sa.URL:
        """Return the proxy's URL of a database that was just created."""
        self.catch_up()
        return url.set(port=self.proxy.active)

    def catch_up(self) -> None:
        """Return when every node has applied what any of them has committed."""
        for node in self.nodes:
            in_step = partial(answered, self.in_step, node)
            wait_for(in_step, "a node in step", seconds=MINUTES)

    def in_step(self, node: Node) -> bool:
        """Return True as soon as a node has applied all that the others have committed.

        A node that was cut off calls itself synced until it notices. Raises the errors
        of a node that cannot apply everything now.
        """
        with plain_engine(node.url("mysql", "admin")).connect() as connection:
            self.wait_for_others(connection)
            connection.exec_driver_sql("SELECT 1")
        return True

    def writer(self, url: sa.URL) -> Node:
        """Return the node on which somebody has written to a database, and not ended.

        Who has several transactions there is found by one of them.
        """
        for node in self.nodes:
            found = Sessions(node, url).all()
            if any(session.seconds is not None for session in found):
                return node
        message = f"nobody writes to {url.database}"
        raise AssertionError(message)

    def checksums(self, database: str, tables: Sequence[str]) -> set[tuple[int, ...]]:
        """Return what the nodes have in some tables: one sum each if it is the same."""
        names = ", ".join(f"{database}.{table}" for table in tables)
        found = set()
        for node in self.nodes:
            with node.admin().connect() as connection:
                rows = connection.exec_driver_sql(f"CHECKSUM TABLE {names}")
                found.add(tuple(row[1] for row in rows))
        return found

    @contextmanager
    def behind(
        self, node: Node, *, missing: sa.Executable | None = None, of: str = "mysql"
    ) -> Iterator[Callable[[], object]]:
        """Let a node apply nothing of what others commit, until told or to the end.

        It knows what there is to apply, such as what the statement that it is *missing*
        does to a database.
        """
        other = next(other for other in self.nodes if other is not node)
        with ExitStack() as stack:
            ours, theirs = (
                stack.enter_context(plain_engine(one.url(of, "admin")).connect())
                for one in (node, other)
            )
            ours.exec_driver_sql("LOCK TABLES other.held READ")
            theirs.exec_driver_sql("INSERT INTO other.held VALUES ()")
            if missing is not None:
                theirs.execute(missing)
            theirs.commit()
            yield lambda: ours.exec_driver_sql("UNLOCK TABLES")

    def close(self) -> None:
        """End all of them."""
        self.closing.close()


def answered(question: Callable[[Node], bool], node: Node) -> bool:
    """Return the answer of *node* to *question*; return False if it refuses to answer.

    Galera answers SHOW STATUS on a node that joins, but refuses the ROLLBACK that ends
    the connection (1047).
    """
    try:
        return question(node)
    except sa.exc.OperationalError:
        return False


def longest(node: MySQLServer, url: sa.URL) -> float:
    """Return for how many seconds a statement on a database is running on a node."""
    with node.admin().connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT MAX(time) FROM information_schema.processlist"
            " WHERE command = 'Query' AND db = %(name)s",
            {"name": url.database},
        ).scalar()
    return float(found or 0)


def status(node: MySQLServer, name: str) -> int:
    """Return a status variable of a node."""
    with node.admin().connect() as connection:
        row = connection.exec_driver_sql(f"SHOW GLOBAL STATUS LIKE '{name}'").one()
    return int(row[1])
