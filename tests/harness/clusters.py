"""Run a cluster of three servers behind HAProxy."""

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
    """Run a node that creates databases, whose URLs *lead* changes."""

    lead: Callable[[sa.URL], sa.URL]

    def create_database(
        self, name: str, tables: sa.MetaData | None = None, *, owner: str = "nova"
    ) -> sa.URL:
        """Create a database, and return the URL that the proxy has for it."""
        return self.lead(super().create_database(name, tables, owner=owner))


class Cluster(ABC, Generic[Node]):
    """Run three nodes in *folders*, and HAProxy in the last folder."""

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
        """Make the next node; set ``first`` if it is the first one."""

    @abstractmethod
    def admit(self, node: Node, others: Sequence[Node]) -> None:
        """Start *node* if need be, and let it join *others*, or found the cluster."""

    @abstractmethod
    def check(self, node: Node) -> Check:
        """Return the check by which HAProxy uses the node or not."""

    @abstractmethod
    def wait_for_others(self, connection: sa.Connection) -> None:
        """Let the next read of a session wait for all commits of other nodes."""

    @abstractmethod
    def size(self, node: Node) -> int:
        """Return the number of nodes in the cluster, in the view of one node."""

    @abstractmethod
    def rejections(self, node: Node) -> int:
        """Return the number of transactions that failed in certification on a node."""

    def add(self, node: Node) -> None:
        """Start another node."""
        self.closing.callback(node.close)
        # Its data are not needed any more, so it need not shut down.
        self.closing.callback(node.daemon.kill)
        self.admit(node, list(self.nodes))
        self.nodes.append(node)

    def start(self) -> None:
        """Return when every node serves and is in step with the others."""
        wait_for(self.healed, "a whole cluster in step", seconds=MINUTES)

    def healed(self) -> bool:
        """Let absent nodes join; return True if all nodes are in step.

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
        """Return True if a node sees all others."""
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
        """Return the node that has an open transaction which wrote to a database.

        With several such transactions, one of them is enough.
        """
        for node in self.nodes:
            found = Sessions(node, url).all()
            if any(session.seconds is not None for session in found):
                return node
        message = f"nobody writes to {url.database}"
        raise AssertionError(message)

    def checksums(self, database: str, tables: Sequence[str]) -> set[tuple[int, ...]]:
        """Return the checksums of *tables* on each node, without repetitions."""
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
        """Let a node apply no commits of others until the yielded function is called.

        The node has received these commits. The statement *missing* is executed on
        another node in the database *of*, and is one of them.
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
        """Stop the proxy and all nodes."""
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
    """Return the seconds of the longest running statement on a database of a node."""
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
