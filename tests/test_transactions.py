"""While a cell is copied, no transaction is long, on any database."""

from itertools import pairwise

import pytest

from tests.conftest import MakeCloud
from tests.nova.sessions import Sessions

LIMIT = 2.0

pytestmark = pytest.mark.only_on("mysql", "postgresql")


def oldest(sessions: Sessions) -> float:
    """Return the age of the oldest transaction in seconds."""
    return max((session.seconds or 0.0 for session in sessions.all()), default=0.0)


def test_no_transaction_is_older_than_two_seconds(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(20_000)
    databases = [cloud.sessions(), cloud.sessions(cell.url)]

    # Small batches: a fast server would be done before anybody has looked.
    running = cloud.start("upgrade", "head", cell="cell1", x={"batch_rows_max": "200"})
    ages = []
    while running.running():
        ages += [oldest(sessions) for sessions in databases]
    finished = running.wait()

    assert finished.code == 0, finished.err
    assert cloud.mapped_uuids(cell) == set(uuids)
    assert len(ages) > 10
    assert max(ages) < LIMIT


def test_version_is_not_in_a_transaction_during_the_walk(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.add_instances(10)

    running = cloud.start_frozen("after FROM instances #3", cell="cell1")

    # Only the cell is being read.
    sessions = cloud.sessions().all()
    assert len(sessions) >= 2
    assert [session.seconds for session in sessions] == [None] * len(sessions)
    assert running.kill9().code == -9


def test_batches_adapt_to_their_time(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.add_instances(20_000)

    cloud.alembic("upgrade", "0001", cell="cell1", x={"batch_seconds": "0.1"})

    batches = [batch for batch in cloud.journal(cell) if batch["rows_read"]]
    whole = batches[1:-1]
    assert len(whole) > 3
    # Half as much again at the most, and less after a slow one.
    for before, after in pairwise(whole):
        assert after["rows_read"] <= before["rows_read"] * 1.5
    assert sorted(batch["seconds"] for batch in whole)[len(whole) // 2] < 0.5
