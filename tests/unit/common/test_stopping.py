"""A run that is told to stop ends soon, and can be repeated.

The two seconds after which su and runuser kill are added up from what it waits for: how
long anything takes depends on what else the machine does.
"""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from signal import SIGHUP, SIGINT, SIGTERM, Signals
from threading import Timer
from typing import Any

import pytest

from cellmap_migrations.cli import fleet
from cellmap_migrations.common import stopping
from cellmap_migrations.common.errors import Stopped
from cellmap_migrations.copying.batches import Batches
from cellmap_migrations.run import SECONDS_AFTER_SIGNAL
from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.process import Finished, Running
from cellmap_migrations.testing.servers import Server
from cellmap_migrations.testing.servers.daemon import free_port
from tests.conftest import MakeCloud
from tests.harness.books import assert_books_balance, total
from tests.harness.cloud import HOUR, Cloud
from tests.harness.inside import alembic_inside
from tests.harness.silence import point_to, silent_port
from tests.harness.waiting import stop, wait_for

EACH_ROW = {"batch_rows_min": "1", "batch_rows_max": "1"}

# After so many seconds su and runuser kill.
DEADLINE = 2.0

# A reader, writers, the version's connection and the pool may each wait for a server.
CLEANED_UP = 4


def stop_frozen(running: Running, server: Server) -> Finished:
    """Stop a run whose server says nothing any more, also not at the run's end."""
    server.freeze()
    running.thaw()
    try:
        return stop(running)
    finally:
        server.thaw()


def stopped(number: Signals = SIGTERM) -> tuple[int, str]:
    """Return the exit code and all that is said on stderr."""
    message = f"error: stopped: {number.name} received; run again to go on from here\n"
    return 75, message


def walking(cloud: Cloud, cell: Cell) -> Running:
    """Start a run, and return when it is frozen after its first batch."""
    moment = "after COMMIT #1"
    return cloud.start_frozen(moment, cell=cell.uuid, x=EACH_ROW, patient=True)


@contextmanager
def locked(cloud: Cloud, uuids: list[str]) -> Iterator[None]:
    """Hold the mappings of *uuids*, so that their INSERT or UPDATE has to wait."""
    table = cloud.instance_mappings
    with cloud.engine.begin() as connection:
        connection.execute(
            table.update().where(table.c.instance_uuid.in_(uuids)).values(user_id="x")
        )
        yield
        connection.rollback()


def test_patience_with_a_silent_server_is_over_in_time() -> None:
    cleaning = SECONDS_AFTER_SIGNAL + CLEANED_UP * stopping.ALARM_SECONDS
    alone = stopping.PATIENCE + cleaning
    together = fleet.PATIENCE + 2 * fleet.TICK

    assert max(alone, together) < DEADLINE
    # A process of a fleet is given the time to end by itself.
    assert stopping.PATIENCE + stopping.ALARM_SECONDS < fleet.PATIENCE


def test_signal_begins_the_patience_and_what_blocks_is_left_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    timers: list[tuple[float, ...]] = []
    monkeypatch.setattr(signal, "setitimer", lambda *timer: timers.append(timer))

    told = stopping.Stopping()
    told.on_signal(SIGTERM, None)
    told.on_signal(SIGINT, None)

    wanted = signal.ITIMER_REAL, stopping.PATIENCE, stopping.ALARM_SECONDS
    assert timers == [wanted]
    with pytest.raises(stopping.Interrupted):
        told.on_alarm(signal.SIGALRM, None)


def test_signal_ends_a_wait() -> None:
    told = stopping.Stopping()
    started, seconds = time.monotonic(), 600.0
    Timer(0.1, told.stop, ["SIGTERM"]).start()

    with pytest.raises(Stopped):
        told.wait(seconds)

    assert time.monotonic() - started < seconds


@pytest.mark.parametrize("number", [SIGTERM, SIGINT, SIGHUP])
def test_signal_during_the_walk(make_cloud: MakeCloud, number: Signals) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(100)

    running = walking(cloud, cell)
    running.signal(number)
    running.thaw()
    finished = running.wait()

    assert (finished.code, finished.err) == stopped(number)
    assert 0 < len(cloud.mapped_uuids(cell)) < len(uuids)
    assert cloud.alembic("upgrade", "head", cell="cell1").code == 0
    assert cloud.mapped_uuids(cell) == set(uuids)
    assert_books_balance(cloud, cell)


@pytest.mark.only_on("mysql", "postgresql")
def test_signal_while_another_transaction_holds_the_rows(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(100)
    cloud.map_to(None, uuids)

    with locked(cloud, uuids):
        running = cloud.start("upgrade", "head", cell="cell1")
        wait_for(
            lambda: cloud.sessions().blocked() or not running.running(), "a lock wait"
        )
        finished = stop(running)

    assert (finished.code, finished.err) == stopped()
    assert cloud.alembic("upgrade", "head", cell="cell1").code == 0
    assert cloud.mapped_uuids(cell) == set(uuids)
    assert_books_balance(cloud, cell)


@pytest.mark.only_on("mysql", "postgresql")
def test_signal_while_the_server_does_not_answer(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(300)

    running = walking(cloud, cell)
    server = cloud.server(cloud.url.get_backend_name())
    finished = stop_frozen(running, server)

    assert (finished.code, finished.err) == stopped()
    assert cloud.alembic("upgrade", "head", cell="cell1").code == 0
    assert cloud.mapped_uuids(cell) == set(uuids)
    assert_books_balance(cloud, cell)


@pytest.mark.only_on("mysql", "postgresql")
def test_signal_while_the_cell_is_a_port_that_says_nothing(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(3)

    with silent_port() as listener:
        point_to(cloud, cell, listener.getsockname()[1])
        running = cloud.start(
            "upgrade", "head", cell="cell1", x={"connect_timeout": HOUR}
        )
        connection, _ = listener.accept()
        finished = stop(running)
        connection.close()

    assert (finished.code, finished.err) == stopped()
    point_to(cloud, cell, cell.url.port)
    assert cloud.alembic("upgrade", "head", cell="cell1").code == 0
    assert cloud.mapped_uuids(cell) == set(uuids)


@pytest.mark.only_on("mysql", "postgresql")
def test_signal_while_nobody_listens_on_the_port_of_the_cell(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    point_to(cloud, cell, free_port())

    running = cloud.start("upgrade", "head", cell="cell1", x={"connect_timeout": HOUR})
    wait_for(lambda: cloud.sessions().all() != [], "the API database is open")
    finished = stop(running)

    assert (finished.code, finished.err) == stopped()


@pytest.mark.only_on("mysql", "postgresql")
def test_signal_during_the_comparison(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(300)

    running = cloud.start_frozen(
        "before count_1, coalesce( #1", cell="cell1", patient=True
    )
    server = cloud.server(cloud.url.get_backend_name())
    finished = stop_frozen(running, server)

    assert (finished.code, finished.err) == stopped()
    assert cloud.versions() == {}
    assert cloud.alembic("upgrade", "head", cell="cell1").code == 0
    assert cloud.mapped_uuids(cell) == set(uuids)


def test_second_signal_changes_nothing(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.add_instances(100)

    running = walking(cloud, cell)
    running.signal(SIGTERM)
    running.signal(SIGINT)
    running.signal(SIGHUP)
    running.thaw()
    finished = running.wait()

    assert finished.code == 75
    assert finished.err.count("\n") == 1
    assert_books_balance(cloud, cell)


def test_row_limit_is_exact(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(250)
    x = {"max_rows": "110", "batch_rows_max": "40", "batch_rows_min": "40"}

    runs = [cloud.alembic("upgrade", "head", cell="cell1", x=x) for _ in range(3)]

    assert [run.code for run in runs] == [75, 75, 0]
    assert "110 rows done (max_rows)" in runs[0].err
    reads = [batch["rows_read"] for batch in cloud.journal(cell)]
    assert reads == [40, 40, 30, 40, 40, 30, 30]
    assert cloud.mapped_uuids(cell) == set(uuids)


@pytest.fixture
def batches_for_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a second pass with each batch, and none otherwise."""
    now, advance = 0, Batches.advance

    def advancing(batches: Batches, *given: Any) -> None:
        nonlocal now
        advance(batches, *given)
        now += 1

    monkeypatch.setattr(Batches, "advance", advancing)
    monkeypatch.setattr(stopping.Stopping.__init__, "__defaults__", (lambda: now,))


@pytest.mark.usefixtures("batches_for_seconds")
def test_time_limit_ends_the_walk_and_the_next_run_goes_on(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(100)

    short = alembic_inside(
        cloud, "upgrade", "head", cell="cell1", x={**EACH_ROW, "time_limit": "20"}
    )
    done = total(cloud.journal(cell), "mapped")
    finished = alembic_inside(cloud, "upgrade", "head", cell="cell1")

    assert (short.code, finished.code) == (75, 0)
    assert short.err == (
        "error: stopped: time limit reached; run again to go on from here\n"
    )
    # Some batches were under way.
    assert 20 <= done < 30
    assert cloud.mapped_uuids(cell) == set(uuids)
    assert_books_balance(cloud, cell)
