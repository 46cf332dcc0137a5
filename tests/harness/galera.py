"""A Galera cluster of three nodes, to whose nodes things happen."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import sqlalchemy as sa

from cellmap_migrations.testing.servers import plain_engine
from cellmap_migrations.testing.servers.galera import Galera
from tests.harness.haproxy import HAProxy
from tests.harness.sessions import Sessions
from tests.harness.waiting import wait_for

MINUTES = 180.0

HELD = "CREATE TABLE other.held (n INT PRIMARY KEY AUTO_INCREMENT)"


class First(Galera):
    """The node that makes databases; they are reached by way of *port*."""

    lead: Callable[[sa.URL], sa.URL]

    def create_database(
        self, name: str, tables: sa.MetaData | None = None, *, owner: str = "nova"
    ) -> sa.URL:
        """Create a database, and return the URL that the proxy has for it."""
        return self.lead(super().create_database(name, tables, owner=owner))


class Cluster:
    """Three nodes in *folders*, and HAProxy before them in one more."""

    def __init__(self, folders: Sequence[Path]) -> None:
        first, second, third, front = folders
        self.nodes: list[Galera] = []
        self.closing = ExitStack()
        with ExitStack() as failing:
            failing.callback(self.close)
            # One after another: a port may be taken between its choice and its use.
            self.first = First(first)
            self.add(self.first)
            # The others get it when they join.
            self.first.execute("CREATE DATABASE other")
            self.first.execute(HELD)
            for folder in (second, third):
                self.add(Galera(folder, joins=self.first))
            self.proxy = HAProxy(front, self.nodes)
            self.closing.callback(self.proxy.close)
            self.first.lead = self.lead
            failing.pop_all()

    def add(self, node: Galera) -> None:
        """Start another node."""
        self.closing.callback(node.close)
        # Nobody needs what it knows in the end.
        self.closing.callback(node.daemon.kill)
        node.start()
        self.nodes.append(node)

    def start(self) -> None:
        """Return when every node serves and is in step with the others."""
        for node in self.nodes:
            others = [other for other in self.nodes if other.daemon.running()]
            if not node.daemon.running() and others:
                node.joins = others[0]
            node.start()
        for check in self.proxy.checks:
            wait_for(check.synced, "a node in step", seconds=MINUTES)
        self.catch_up()

    def lead(self, url: sa.URL) -> sa.URL:
        """Return the proxy's URL of a database that was just created."""
        self.catch_up()
        return url.set(port=self.proxy.active)

    def catch_up(self) -> None:
        """Return when every node has applied what any of them has committed."""
        for node in self.nodes:
            wait_for(partial(in_step, node), "a node in step", seconds=MINUTES)

    def writer(self, url: sa.URL) -> Galera:
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
        self, node: Galera, *, missing: sa.Executable | None = None, of: str = "mysql"
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


def in_step(node: Galera) -> bool:
    """Let a node apply all that the others have committed; say whether it could.

    One that was cut off calls itself synced until it notices.
    """
    try:
        with plain_engine(node.url("mysql", "admin")).connect() as connection:
            connection.exec_driver_sql("SET SESSION wsrep_sync_wait = 1")
            connection.exec_driver_sql("SELECT 1")
    except sa.exc.OperationalError:
        return False
    return True


def longest(node: Galera, url: sa.URL) -> float:
    """Return for how many seconds a statement on a database is running on a node."""
    with node.admin().connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT MAX(time_ms) / 1000 FROM information_schema.processlist"
            " WHERE command = 'Query' AND db = %(name)s",
            {"name": url.database},
        ).scalar()
    return float(found or 0)


def status(node: Galera, name: str) -> int:
    """Return a status variable of a node."""
    with node.admin().connect() as connection:
        row = connection.exec_driver_sql(f"SHOW GLOBAL STATUS LIKE '{name}'").one()
    return int(row[1])
