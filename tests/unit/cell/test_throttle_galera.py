"""A run on a node of a Galera cluster waits for one that does not keep up."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import inspect

from cellmap_migrations.testing.servers import plain_engine
from cellmap_migrations.testing.servers.galera import Galera
from tests.harness import pausing
from tests.harness.books import HEAD
from tests.harness.cloud import Cloud
from tests.harness.inside import alembic_inside
from tests.harness.replicas import folders_for, serving
from tests.harness.waiting import wait_for

# So many rows without a key are changed at once, and compared two by two where that is
# applied: a second or two.
SLOW = 4_000


@pytest.fixture(scope="module")
def nodes() -> Iterator[list[Galera]]:
    """Two nodes of a cluster."""
    with folders_for(2) as [first, second]:
        one = Galera(first)
        with serving(one):
            two = Galera(second, joins=one)
            with serving(two):
                yield [one, two]


@pytest.fixture
def cloud(tmp_path: Path, nodes: list[Galera]) -> Iterator[Cloud]:
    """A cloud whose API database is reached by way of the second node."""
    _, two = nodes
    made = Cloud(tmp_path, lambda _: two, backend="mysql")
    made.add_cell("cell1").add_instances(30)
    yield made
    made.close()


@pytest.fixture
def other(nodes: list[Galera]) -> Iterator[str]:
    """The name of a table of somebody else."""
    one, two = nodes
    one.execute("CREATE DATABASE other")
    one.execute("CREATE TABLE other.t (n INT)")
    # A node may apply what another has committed some moments later.
    wait_for(lambda: has_table(two, "other", "t"), "the table on both nodes")
    yield "other.t"
    one.execute("DROP DATABASE other")


def status(node: Galera, name: str) -> int:
    """Return a status variable of a node."""
    with node.admin().connect() as connection:
        row = connection.exec_driver_sql(f"SHOW GLOBAL STATUS LIKE '{name}'").one()
    return int(row[1])


def has_table(node: Galera, schema: str, table: str) -> bool:
    """Tell whether a node has applied the creation of a table."""
    with node.admin().connect() as connection:
        return inspect(connection).has_table(table, schema)


def test_cluster_that_keeps_up_is_not_waited_for(cloud: Cloud) -> None:
    finished = alembic_inside(cloud, "upgrade", "head", cell="cell1")

    assert (finished.code, finished.err) == (0, "")
    assert pausing.reasons(cloud) == {}


def test_receive_queue_of_the_node_is_waited_for(
    cloud: Cloud, nodes: list[Galera], other: str
) -> None:
    one, two = nodes
    # Its end is the end of the lock, also when the test fails.
    with plain_engine(two.url("mysql", "admin")).connect() as lock:

        def cause() -> None:
            lock.exec_driver_sql("FLUSH TABLES WITH READ LOCK")
            for number in range(20):
                one.execute(f"INSERT INTO {other} VALUES ({number})")
            wait_for(lambda: status(two, "wsrep_local_recv_queue") > 15, "a queue")

        finished = pausing.upgrade_with_pauses(
            cloud,
            cause=cause,
            mend=lambda: lock.exec_driver_sql("UNLOCK TABLES"),
            x={"writers": "1"},
        )

    assert (finished.code, finished.err) == (0, "")
    assert cloud.versions() == {cloud.cells[0].uuid: HEAD}
    [why] = pausing.reasons(cloud).values()
    assert why.endswith("write sets wait in the Galera node's receive queue")


def test_flow_control_is_waited_for(
    cloud: Cloud, nodes: list[Galera], other: str
) -> None:
    one, two = nodes
    two.execute(f"INSERT INTO {other} SELECT 1 FROM seq_1_to_{SLOW}")
    one.execute("SET GLOBAL wsrep_provider_options = 'gcs.fc_limit=1'")

    def cause() -> None:
        two.execute(f"UPDATE {other} SET n = n + 1")
        for number in range(5):
            two.execute(f"INSERT INTO {other} VALUES ({number})")

    finished = pausing.upgrade_with_pauses(
        cloud, cause=cause, mend=lambda: None, x={"writers": "1"}
    )
    one.execute("SET GLOBAL wsrep_provider_options = 'gcs.fc_limit=16'")

    assert (finished.code, finished.err) == (0, "")
    assert cloud.versions() == {cloud.cells[0].uuid: HEAD}
    [why] = pausing.reasons(cloud).values()
    assert why.startswith("flow control held the Galera cluster for ")


def test_node_that_has_lost_its_cluster_is_waited_for(
    cloud: Cloud, nodes: list[Galera]
) -> None:
    _, two = nodes
    isolate = "SET GLOBAL wsrep_provider_options = 'gmcast.isolate={}'"
    with plain_engine(two.url("mysql", "admin")).connect() as admin:

        def ready(wanted: str) -> bool:
            asked = "SHOW GLOBAL STATUS LIKE 'wsrep_ready'"
            return bool(admin.exec_driver_sql(asked).one()[1] == wanted)

        def leave() -> None:
            admin.exec_driver_sql(isolate.format(1))
            wait_for(lambda: ready("OFF"), "a node without its cluster")

        def join() -> None:
            admin.exec_driver_sql(isolate.format(0))
            wait_for(lambda: ready("ON"), "a node in its cluster")

        finished = pausing.upgrade_with_pauses(
            cloud, cause=leave, mend=join, x={"writers": "1"}
        )

    assert (finished.code, finished.err) == (0, "")
    assert cloud.versions() == {cloud.cells[0].uuid: HEAD}
    [why] = pausing.reasons(cloud).values()
    assert "WSREP has not yet prepared node" in why
