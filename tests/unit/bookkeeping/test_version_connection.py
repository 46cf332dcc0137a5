"""The version's connection is not idle for long, and another takes its place."""

from collections.abc import Iterator
from threading import Event
from typing import Any

import pytest

from cellmap_migrations.bookkeeping import keep_alive
from cellmap_migrations.bookkeeping.keep_alive import KeepAlive
from cellmap_migrations.comparing.checksums import ranges
from cellmap_migrations.testing.cell import Cell
from tests.conftest import MakeCloud
from tests.harness.cloud import Cloud
from tests.harness.sessions import END
from tests.harness.upgrading import complete, map_cell
from tests.harness.waiting import SECONDS, wait_for

pytestmark = pytest.mark.only_on("mysql", "postgresql")

WHO = {"mysql": "SELECT CONNECTION_ID()", "postgresql": "SELECT pg_backend_pid()"}

BATCH = 100


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every look at the connection be a use of it."""
    monkeypatch.setattr(keep_alive, "IDLE_SECONDS", -1.0)


def filled(cloud: Cloud, rows: int) -> Cell:
    """Add a cell of plain servers."""
    cell = cloud.add_cell("cell1")
    cell.add_instances(rows)
    return cell


@pytest.mark.usefixtures("often")
def test_connection_is_used_during_a_comparison(
    make_cloud: MakeCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = make_cloud()
    cell = filled(cloud, BATCH)
    comparing, used = Event(), Event()
    use = KeepAlive.__call__

    def using(connection: KeepAlive) -> None:
        before = connection.used
        use(connection)
        if comparing.is_set() and connection.used > before:
            used.set()

    def waiting(*given: Any) -> Iterator[tuple[int, int]]:
        comparing.set()
        assert used.wait(SECONDS), "nobody has used it"
        yield from ranges(*given)

    monkeypatch.setattr(KeepAlive, "__call__", using)
    monkeypatch.setattr("cellmap_migrations.comparing.checksums.ranges", waiting)

    ended = map_cell(cloud, cell)

    assert complete(mapped=BATCH) == ended, ended.err


@pytest.mark.usefixtures("often")
def test_what_was_committed_when_it_is_lost_is_counted(
    make_cloud: MakeCloud, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = make_cloud()
    cell = filled(cloud, 20 * BATCH)
    use, times = KeepAlive.__call__, 0

    def losing(connection: KeepAlive) -> None:
        nonlocal times
        times += 1
        # There is a batch under way by then.
        if times == 3:
            assert connection.watched
            lose(cloud, connection.watched.exec_driver_sql(WHO[backend]).scalar_one())
        use(connection)

    monkeypatch.setattr(KeepAlive, "__call__", losing)

    ended = map_cell(cloud, cell, batch_rows_min=str(BATCH), batch_rows_max=str(BATCH))

    assert times > 3
    assert complete(mapped=20 * BATCH) == ended, ended.err


def lose(cloud: Cloud, number: int) -> None:
    """Let the server end a connection, and return when it has."""
    sessions = cloud.sessions()
    with sessions.engine.connect() as connection:
        connection.exec_driver_sql(END[sessions.backend].format(number))
    wait_for(lambda: number not in [each.number for each in sessions.all()], "its end")
