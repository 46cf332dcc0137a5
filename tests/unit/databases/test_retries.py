"""A transient error is retried a bounded number of times, and no other error."""

from threading import Thread
from uuid import uuid4

import pytest

from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.process import Finished
from tests.conftest import MakeCloud
from tests.harness.books import HEAD, assert_books_balance, total, walked
from tests.harness.cloud import Cloud
from tests.harness.waiting import wait_for

pytestmark = pytest.mark.only_on("mysql", "postgresql")

BATCH = 10

SMALL = {"batch_rows_min": str(BATCH), "batch_rows_max": str(BATCH)}

ROWS = 10 * BATCH


def assert_done(cloud: Cloud, cell: Cell, uuids: list[str], finished: Finished) -> None:
    """Assert that the run has mapped all instances without a warning."""
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
        "before count_1, coalesce( #1",
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
        "after UPDATE instance_mappings #1", cell="cell1", x=SMALL, patient=True
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
        connection.exec_driver_sql("ALTER TABLE cellmap_journal RENAME TO kept")
        view = "CREATE VIEW cellmap_journal AS SELECT DISTINCT * FROM kept"
        connection.exec_driver_sql(view)

    finished = cloud.alembic("upgrade", "head", cell="cell1", x=SMALL)

    assert finished.code == 70
    assert "cellmap_journal" in finished.err
    assert finished.err.count("\n") == 1
