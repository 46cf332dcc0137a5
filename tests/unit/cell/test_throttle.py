"""A run pauses between two batches while something speaks against the next one."""

from dataclasses import replace
from pathlib import Path
from signal import SIGTERM
from threading import Thread

import pytest
import sqlalchemy as sa

from cellmap_migrations.bookkeeping.journal import Pause
from cellmap_migrations.cell.signals import ClusterNode, Signal
from cellmap_migrations.cell.throttle import EVERY, Throttle
from cellmap_migrations.common.stopping import Stopping
from cellmap_migrations.testing.config import text
from cellmap_migrations.testing.process import Extra
from cellmap_migrations.testing.servers import plain_engine
from tests.conftest import MakeCloud
from tests.harness import pausing, poison
from tests.harness.cloud import Cloud
from tests.harness.inside import alembic_inside, opened
from tests.harness.waiting import wait_for

ON_SERVERS = pytest.mark.only_on("mysql", "postgresql")

SMALL = {"batch_rows_min": "10", "batch_rows_max": "10"}


@pytest.fixture
def pause_file(tmp_path: Path) -> Path:
    """A file that is there."""
    path = tmp_path / "pause"
    path.touch()
    return path


def test_file_pauses_a_run_until_it_is_removed(cloud: Cloud, pause_file: Path) -> None:
    cell = cloud.add_cell("cell1")
    cell.add_instances(30)
    pause_file.unlink()

    finished = pausing.upgrade_with_pauses(
        cloud,
        cause=pause_file.touch,
        mend=pause_file.unlink,
        x={"pause_file": str(pause_file)},
    )

    pausing.assert_done(cloud, finished)
    assert pausing.reasons(cloud) == {2: f"{pause_file} exists"}
    assert cloud.journal(cell)[1]["paused"] >= EVERY
    assert cloud.journal(cell)[1]["pause_option"] == "pause_file"


@pytest.mark.only_on("mysql")
def test_server_that_does_not_answer_may_be_a_node_of_galera(
    make_cloud: MakeCloud, backend: str
) -> None:
    cloud = make_cloud()
    server = cloud.server(backend)
    with opened(cloud, cloud.add_cell("cell1")) as inside:
        server.stop()
        silent = ClusterNode.is_possible(inside.api)
        server.start()

        assert (silent, ClusterNode.is_possible(inside.api)) == (True, False)


@ON_SERVERS
def test_paused_run_has_no_transaction_and_survives_a_restart_of_the_server(
    make_cloud: MakeCloud, pause_file: Path
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.add_instances(30)
    server = cloud.server(cloud.url.get_backend_name())
    pause_file.unlink()
    ages: set[float | None] = set()

    def restart() -> None:
        # The batch before the pause is still being written when that begins.
        wait_for(lambda: len(cloud.journal(cell)) == 1, "the first batch")
        sessions = [*cloud.sessions().all(), *cloud.sessions(cell.url).all()]
        ages.update(session.seconds for session in sessions)
        server.stop()
        server.start()
        pause_file.unlink()

    finished = pausing.upgrade_with_pauses(
        cloud,
        cause=pause_file.touch,
        mend=restart,
        x={"pause_file": str(pause_file)},
    )

    pausing.assert_done(cloud, finished)
    assert ages == {None}


@ON_SERVERS
def test_batch_that_is_refused_when_a_pause_begins_is_settled_once(
    make_cloud: MakeCloud, pause_file: Path
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(30)
    cloud.map_to(None, uuids[:1])
    pause_file.unlink()

    finished = pausing.upgrade_with_pauses(
        cloud,
        cause=pause_file.touch,
        mend=pause_file.unlink,
        # Ends a run that settles it again and again.
        x={"pause_file": str(pause_file), "max_rows": "300"},
    )

    pausing.assert_done(cloud, finished)
    assert [batch["filled"] for batch in cloud.journal(cell)] == [1, 0, 0]


def test_signal_ends_a_pause_whose_reason_is_still_there(
    cloud: Cloud, pause_file: Path
) -> None:
    cell = cloud.add_cell("cell1")
    cell.add_instances(300)
    x = {"pause_file": str(pause_file), **SMALL}
    running = cloud.start("upgrade", "head", cell="cell1", x=x)
    wait_for(lambda: "cellmap_journal" in cloud.our_tables(), "the start of the walk")
    looks = [len(cloud.journal(cell)) for _ in range(20)]

    running.signal(SIGTERM)
    finished = running.wait()

    assert pause_file.exists()
    assert set(looks) == {0}
    assert finished.code == 75
    assert "SIGTERM received" in finished.err


@pytest.mark.parametrize(
    ("x", "reason"),
    [
        ({"time_limit": "0.3"}, "time limit reached"),
        ({"time_limit": "0.3", "pause_file": "", "sleep_ratio": "100"}, "time limit"),
        ({"max_pause": "0"}, "paused for 0 s (max_pause): {path} exists"),
    ],
)
def test_limit_ends_a_pause(
    cloud: Cloud, pause_file: Path, x: dict[str, str], reason: str
) -> None:
    cell = cloud.add_cell("cell1")
    cell.add_instances(1_000)
    cloud.configure(cellmap={"pause_file": pause_file, **SMALL, **x})

    finished = alembic_inside(cloud, "upgrade", "head", cell="cell1")

    assert finished.code == 75
    assert reason.format(path=pause_file) in finished.err
    assert len(finished.err.splitlines()) == 1


def test_sleep_ratio_sleeps_so_many_times_as_long_as_a_batch_took(cloud: Cloud) -> None:
    cell = cloud.add_cell("cell1")
    cell.add_instances(100)

    alembic_inside(
        cloud, "upgrade", "0001", cell="cell1", x={**SMALL, "sleep_ratio": "3"}
    )

    first, *others = cloud.journal(cell)
    names = ("paused", "pause_reason", "pause_option")
    assert [first[name] for name in names] == [0, "", ""]
    for before, batch in zip((first, *others), others, strict=False):
        assert batch["pause_reason"] == "sleep_ratio"
        assert batch["pause_option"] == "sleep_ratio"
        assert batch["paused"] >= 3 * before["seconds"]


def test_pause_before_a_batch_that_is_refused_is_recorded(cloud: Cloud) -> None:
    cell = cloud.add_cell("cell1")
    poison.poison(cloud)
    cell.add_instances(10)
    cell.add_instance(project_id=poison.PROJECT)
    cell.add_instances(9)

    alembic_inside(
        cloud, "upgrade", "0001", cell="cell1", x={**SMALL, "sleep_ratio": "3"}
    )

    first, second, *_ = cloud.journal(cell)
    assert second["pause_reason"] == "sleep_ratio"
    assert second["paused"] >= 3 * first["seconds"]


def test_pauses_of_all_batches_that_are_undone_are_owed_again(cloud: Cloud) -> None:
    with opened(cloud, cloud.add_cell("cell1")) as inside:
        last = Pause(seconds=4, reason="last", option="replicas")
        inside.throttle.owed = last
        first = Pause(seconds=1, reason="first", option="cluster")

        inside.throttle.give_back([first, Pause()])

        assert inside.throttle.take() == replace(last, seconds=5)


class Asked(Signal):
    """Never speaks against a batch, and knows how often it was asked."""

    option = "asked"

    def __init__(self) -> None:
        self.times = 0

    def pause_reason(self) -> None:
        """Count."""
        self.times += 1


def test_signals_are_asked_once_a_second_however_often_a_batch_begins(
    cloud: Cloud,
) -> None:
    seconds, asked = 0.0, Asked()
    with opened(cloud, cloud.add_cell("cell1")) as inside:
        throttle = Throttle(
            control=inside.control,
            api=replace(inside.api, stopping=Stopping(clock=lambda: seconds)),
            slowdown=inside.throttle.slowdown,
            keep_alive=lambda: None,
            show=lambda _: None,
        )
        throttle.signals = [asked]

        for _ in range(13):
            throttle.pause()
            seconds += EVERY / 4

    # At the start, and after each of three seconds.
    assert asked.times == 4


@pytest.mark.parametrize(
    ("x", "says"),
    [
        ({"max_lag": "5"}, "set max_lag and replicas together"),
        ({"replicas": "db2"}, "set max_lag and replicas together"),
        ({"max_lag": "-1", "replicas": "db2"}, "write a number"),
        ({"max_lag": "5", "replicas": "db2"}, "this database has no replicas"),
        ({"max_threads_running": "0"}, "write a whole number, at least 1"),
        ({"max_threads_running": "9"}, "this database has no running threads"),
        ({"sleep_ratio": "nan"}, "it is not a number"),
        ({"pause_file": "pause"}, "write an absolute path"),
        ({"pause_file": "/nonexistent/pause"}, "there is no folder /nonexistent"),
        ({"pause_file": "/dev/null/pause"}, "the file could not be seen"),
        ({"max_pause": "soon"}, "write a number"),
    ],
)
def test_what_can_never_be_right_is_refused_before_the_first_write(
    cloud: Cloud, x: Extra, says: str
) -> None:
    cloud.add_cell("cell1").add_instance()

    finished = alembic_inside(cloud, "upgrade", "head", cell="cell1", x=x)

    assert finished.code == 78
    assert says in finished.err
    assert cloud.our_tables() == set()


SLEEP = {"mysql": "SELECT SLEEP(60)", "postgresql": "SELECT pg_sleep(60)"}


@ON_SERVERS
def test_busy_server_pauses_a_run(make_cloud: MakeCloud, backend: str) -> None:
    cloud = make_cloud()
    cloud.add_cell("cell1").add_instances(30)
    if backend == "postgresql":
        cloud.server(backend).admin().connect().exec_driver_sql(
            "GRANT pg_monitor TO nova"
        )
    busy = cloud.server(backend).create_database(f"busy_{cloud.number}")
    cloud.databases.append((cloud.server(backend), busy))
    sleepers = [Thread(target=sleep, args=(busy,)) for _ in range(8)]
    for sleeper in sleepers:
        sleeper.start()
    wait_for(lambda: len(cloud.sessions(busy).all()) == 8, "eight sessions")

    finished = pausing.upgrade_with_pauses(
        cloud,
        mend=lambda: cloud.sessions(busy).end_all(),
        x={"max_threads_running": "6"},
    )
    for sleeper in sleepers:
        sleeper.join()

    pausing.assert_done(cloud, finished)
    [(batch, why)] = pausing.reasons(cloud).items()
    assert batch == 1
    assert why.endswith(" threads are running on the API server (max 6)")


def sleep(url: sa.URL) -> None:
    """Keep a thread of the server running until somebody ends its session."""
    with pytest.raises(sa.exc.DBAPIError), plain_engine(url).connect() as connection:
        connection.exec_driver_sql(SLEEP[url.get_backend_name()])


@pytest.mark.only_on("postgresql")
def test_missing_right_to_see_threads_is_named(
    make_cloud: MakeCloud, backend: str
) -> None:
    cloud = make_cloud()
    cloud.add_cell("cell1").add_instance()
    reader = cloud.server(backend).readonly(cloud.url)
    cloud.configure(api_database={"connection": text(reader)})

    finished = alembic_inside(
        cloud, "upgrade", "head", cell="cell1", x={"max_threads_running": "9"}
    )

    assert finished.code == 77
    assert "the right pg_monitor is missing" in finished.err
    assert cloud.our_tables() == set()
