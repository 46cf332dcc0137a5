"""What may pass is tried again, a bounded number of times, and nothing else is."""

import re
from collections.abc import Callable, Iterator
from itertools import count
from threading import Thread
from uuid import uuid4

import pytest

from tests.books import HEAD, assert_books_balance, total, walked
from tests.conftest import MakeCloud
from tests.nova.cell import Cell
from tests.nova.cloud import Cloud, text
from tests.nova.process import Finished
from tests.nova.proxy import Proxy
from tests.nova.waiting import wait_for

pytestmark = pytest.mark.only_on("mysql", "postgresql")

COMMIT = re.compile(rb"\bCOMMIT\b")
BATCH = 10
SMALL = {"batch_rows_min": str(BATCH), "batch_rows_max": str(BATCH)}
ROWS = 10 * BATCH


def assert_done(cloud: Cloud, cell: Cell, uuids: list[str], finished: Finished) -> None:
    """Check that the run went well, whatever it met with."""
    assert (finished.code, finished.err) == (0, "")
    assert cloud.mapped_uuids(cell) == set(uuids)
    assert total(walked(cloud, cell), "rows_read") == len(uuids)
    assert cloud.versions() == {cell.uuid: HEAD}
    assert_books_balance(cloud, cell)


@pytest.mark.parametrize(
    "moment",
    [
        "after FROM instances #5",
        "after INSERT INTO instance_mappings #5",
        "before COMMIT #5",
        "before count(*) #1",
    ],
    ids=["read", "insert", "commit", "comparison"],
)
def test_every_connection_is_cut(make_cloud: MakeCloud, moment: str) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(ROWS)

    running = cloud.start_frozen(moment, cell="cell1", x=SMALL)
    cut = cloud.sessions().end_all() + cloud.sessions(cell.url).end_all()
    running.thaw()
    finished = running.wait()

    assert cut >= 2
    assert_done(cloud, cell, uuids, finished)


def test_server_restarts(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(ROWS)
    server = cloud.server(cloud.url.get_backend_name())

    running = cloud.start_frozen(
        "after INSERT INTO instance_mappings #5", cell="cell1", x=SMALL
    )
    server.stop()
    running.thaw()
    server.start()
    finished = running.wait()

    assert_done(cloud, cell, uuids, finished)


def commits(numbers: set[int]) -> Callable[[bytes], bool]:
    """Return a function that accepts the COMMITs with these numbers."""
    counter = count(1)
    return lambda data: bool(COMMIT.search(data)) and next(counter) in numbers


@pytest.fixture
def losing() -> Iterator[Callable[[int], Proxy]]:
    """Make a proxy to a port that loses the answers to some COMMITs."""
    proxies: list[Proxy] = []

    def make(port: int) -> Proxy:
        proxies.append(Proxy(port, commits({4, 5, 8})))
        return proxies[-1]

    yield make
    for proxy in proxies:
        proxy.close()


def test_answer_to_commit_is_lost(
    make_cloud: MakeCloud, losing: Callable[[int], Proxy]
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(ROWS)
    assert cloud.url.port
    proxy = losing(cloud.url.port)
    cloud.configure(api_database={"connection": text(cloud.url.set(port=proxy.port))})

    finished = cloud.alembic("upgrade", "head", cell="cell1", x=SMALL)

    assert proxy.cuts == 3
    assert_done(cloud, cell, uuids, finished)


def test_rows_are_locked_for_a_while(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(ROWS)
    cloud.map_to(None, uuids)
    table = cloud.instance_mappings

    with cloud.engine.begin() as connection:
        connection.execute(table.update().values(user_id="x"))
        running = cloud.start("upgrade", "head", cell="cell1", x=SMALL)
        # Twice: the second time another attempt waits.
        for _ in range(2):
            wait_for(cloud.sessions().blocked, "a lock wait")
            wait_for(lambda: not cloud.sessions().blocked(), "the end of it")
        connection.rollback()
    finished = running.wait()

    assert_done(cloud, cell, uuids, finished)


def test_rows_stay_locked(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(ROWS)
    cloud.map_to(None, uuids[50:])
    table = cloud.instance_mappings

    with cloud.engine.begin() as connection:
        connection.execute(table.update().values(user_id="x"))
        gave_up = cloud.alembic(
            "upgrade", "head", cell="cell1", x={**SMALL, "attempts": "2"}
        )
        connection.rollback()
    finished = cloud.alembic("upgrade", "head", cell="cell1", x=SMALL)

    assert gave_up.code == 75
    assert "failed 2 times" in gave_up.err
    assert gave_up.err.count("\n") == 1
    assert_done(cloud, cell, uuids, finished)


def test_deadlock(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell, other = cloud.add_cell("cell1"), cloud.add_cell("cell2")
    uuids = cell.add_instances(2 * BATCH)
    cloud.map_to(None, uuids[:1])
    cloud.map_to(other.id, uuids[1:2])
    table = cloud.instance_mappings
    first = table.update().filter_by(instance_uuid=uuids[0]).values(user_id="x")
    second = table.update().filter_by(instance_uuid=uuids[1]).values(user_id="x")
    # MariaDB ends the transaction that has changed fewer rows.
    weight = [
        {"instance_uuid": str(uuid4()), "project_id": "x", "cell_id": other.id}
        for _ in range(100)
    ]

    # The run changes the first row, then the second; here it is the reverse.
    running = cloud.start_frozen(
        "after UPDATE instance_mappings #1", cell="cell1", x=SMALL
    )
    with cloud.engine.begin() as connection:
        connection.execute(table.insert(), weight)
        connection.execute(second)
        waiting = Thread(target=connection.execute, args=(first,))
        waiting.start()
        wait_for(lambda: waits_for_long(cloud), "the first half of the deadlock")
        running.thaw()
        waiting.join()
        connection.commit()
    finished = running.wait()

    assert_done(cloud, cell, uuids, finished)


def waits_for_long(cloud: Cloud) -> bool:
    """Say whether somebody has waited for longer than PostgreSQL's deadlock_timeout.

    Who looks for a deadlock is its victim, and everybody looks only once.
    """
    return any(
        session.blocked and session.seconds is not None and session.seconds > 1.3
        for session in cloud.sessions().all()
    )


def test_statement_that_always_fails_is_not_repeated(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.add_instances(2 * BATCH)
    x = {**SMALL, "max_rows": str(BATCH)}
    cloud.alembic("upgrade", "head", cell="cell1", x=x)
    with cloud.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE cellmap_journal DROP COLUMN runner")

    finished = cloud.alembic("upgrade", "head", cell="cell1", x=SMALL)

    assert finished.code == 70
    assert "runner" in finished.err
    assert finished.err.count("\n") == 1
