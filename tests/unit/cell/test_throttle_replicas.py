"""A run waits for the replicas of the API database that are named."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cellmap_migrations.testing.config import text
from cellmap_migrations.testing.process import Extra
from cellmap_migrations.testing.servers import Server
from cellmap_migrations.testing.servers.postgresql import PostgreSQL
from tests.harness import pausing
from tests.harness.cloud import Cloud
from tests.harness.inside import alembic_inside
from tests.harness.replicas import (
    STANDBY,
    MariaDBReplica,
    MySQLPrimary,
    MySQLReplica,
    Primary,
    Standby,
    folders_for,
    replicating,
    serving,
)
from tests.harness.waiting import wait_for


@pytest.fixture(scope="module")
def replica() -> Iterator[MariaDBReplica]:
    """Start a MariaDB and its replica."""
    with replicating(Primary, MariaDBReplica) as made:
        yield made


@pytest.fixture(scope="module")
def mysql_replica() -> Iterator[MySQLReplica]:
    """Start a MySQL and its replica."""
    with replicating(MySQLPrimary, MySQLReplica) as made:
        yield made


@pytest.fixture(scope="module")
def standby() -> Iterator[Standby]:
    """Start a PostgreSQL and its standby."""
    with folders_for(2) as [first, second]:
        primary = PostgreSQL(first)
        with serving(primary):
            made = Standby(second, primary=primary)
            with serving(made):
                yield made


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[[Server, str], Cloud]]:
    """Return a function that makes clouds on a primary; close them in the end."""
    clouds: list[Cloud] = []

    def cloud(server: Server, backend: str) -> Cloud:
        made = Cloud(tmp_path, lambda _: server, backend=backend)
        clouds.append(made)
        made.add_cell("cell1").add_instances(30)
        return made

    yield cloud
    for made in clouds:
        made.close()


MakeOn = Callable[[Server, str], Cloud]


@pytest.fixture
def mariadb(replica: MariaDBReplica, make: MakeOn) -> Cloud:
    """Make a cloud on the primary; wait for the replica, which nova may ask."""
    cloud = make(replica.primary, "mysql")
    replica.primary.execute("GRANT REPLICA MONITOR ON *.* TO nova@'127.0.0.1'")
    replica.catch_up()
    return cloud


@pytest.fixture
def postgresql(standby: Standby, make: MakeOn) -> Cloud:
    """Make a cloud on the primary of the standby, whose lag nova may see."""
    cloud = make(standby.primary, "postgresql")
    standby.primary.execute("GRANT pg_monitor TO nova")
    return cloud


def refused(cloud: Cloud, x: Extra) -> tuple[int, str]:
    """Return the exit code and the last line of a run that must not write."""
    finished = alembic_inside(cloud, "upgrade", "head", cell="cell1", x=x)
    assert cloud.our_tables() == set()
    return finished.code, finished.err.splitlines()[-1]


def test_replica_that_is_behind_is_waited_for(
    replica: MariaDBReplica, mariadb: Cloud
) -> None:
    replica.follow(delay=3600)
    mariadb.cells[0].add_instances(5)
    wait_for(replica.behind, "a replica that is behind")

    finished = pausing.upgrade_with_pauses(
        mariadb,
        mend=replica.follow,
        x={"max_lag": "0.5", "replicas": replica.name},
    )

    pausing.assert_done(mariadb, finished)
    [reason] = pausing.reasons(mariadb).values()
    assert reason.startswith(f"replica {replica.name} is ")


@pytest.mark.only_on("mysql9")
@pytest.mark.usefixtures("backend")
def test_replica_of_mysql_that_is_behind_is_waited_for(
    mysql_replica: MySQLReplica, make: MakeOn
) -> None:
    cloud = make(mysql_replica.primary, "mysql")
    x: Extra = {"max_lag": "0.5", "replicas": mysql_replica.name}
    mysql_replica.catch_up()
    without = refused(cloud, x)
    mysql_replica.primary.execute("GRANT REPLICATION CLIENT ON *.* TO nova@'127.0.0.1'")
    mysql_replica.catch_up()
    mysql_replica.follow(delay=3600)
    cloud.cells[0].add_instances(5)
    wait_for(mysql_replica.behind, "a replica that is behind")

    finished = pausing.upgrade_with_pauses(cloud, mend=mysql_replica.follow, x=x)

    pausing.assert_done(cloud, finished)
    [reason] = pausing.reasons(cloud).values()
    assert reason.startswith(f"replica {mysql_replica.name} is ")
    assert without[0] == 77
    assert "REPLICATION CLIENT" in without[1]


def test_binary_log_has_no_limits_that_a_replica_would_keep_to(
    replica: MariaDBReplica, mariadb: Cloud
) -> None:
    finished = alembic_inside(mariadb, "upgrade", "head", cell="cell1")

    with replica.primary.admin().connect() as connection:
        [log] = connection.exec_driver_sql("SHOW MASTER STATUS").scalars()
        events = connection.exec_driver_sql(f"SHOW BINLOG EVENTS IN '{log}'").all()
    said = [str(event[-1]) for event in events]
    assert (finished.code, finished.err) == (0, "")
    # As statements, which is MariaDB's default for them.
    assert [text for text in said if "INSERT INTO instance_mappings" in text]
    assert [text for text in said if "SET STATEMENT" in text] == []
    replica.catch_up()


def test_replica_that_stops_to_replicate_is_waited_for(
    replica: MariaDBReplica, mariadb: Cloud
) -> None:
    finished = pausing.upgrade_with_pauses(
        mariadb,
        cause=lambda: replica.execute("STOP SLAVE SQL_THREAD"),
        mend=lambda: replica.execute("START SLAVE SQL_THREAD"),
        x={"max_lag": "600", "replicas": replica.name},
    )

    [why] = pausing.reasons(mariadb).values()
    pausing.assert_done(mariadb, finished)
    assert why == (
        f"replicas cannot be measured: {replica.name} does not replicate: stopped"
    )


def test_replica_that_is_shut_down_is_waited_for(
    replica: MariaDBReplica, mariadb: Cloud
) -> None:
    finished = pausing.upgrade_with_pauses(
        mariadb,
        cause=replica.stop,
        mend=replica.start,
        x={"max_lag": "600", "replicas": replica.name},
    )

    [why] = pausing.reasons(mariadb).values()
    pausing.assert_done(mariadb, finished)
    assert why.startswith(f"replicas cannot be measured: replica {replica.name} ")


def test_replica_that_stays_away_ends_the_run(
    replica: MariaDBReplica, mariadb: Cloud
) -> None:
    finished = pausing.upgrade_with_pauses(
        mariadb,
        cause=replica.stop,
        mend=lambda: None,
        x={"max_lag": "600", "replicas": replica.name, "max_pause": "0.5"},
    )
    replica.start()

    assert finished.code == 75
    assert "paused for 0.5 s (max_pause): replicas cannot be measured" in finished.err
    assert [batch["rows_read"] for batch in mariadb.journal(mariadb.cells[0])] == [10]


def test_mariadb_that_can_never_be_measured_is_refused(
    replica: MariaDBReplica, mariadb: Cloud
) -> None:
    names = ["db2/", "user@db2", f"127.0.0.1:{replica.primary.port}"]
    found = [refused(mariadb, {"max_lag": "5", "replicas": name}) for name in names]
    replica.primary.execute("REVOKE REPLICA MONITOR ON *.* FROM nova@'127.0.0.1'")
    replica.catch_up()

    denied = refused(mariadb, {"max_lag": "5", "replicas": replica.name})

    assert [code for code, _ in found] == [78] * 3
    assert f"{names[2]} is no replica" in found[2][1]
    assert denied[0] == 77
    assert "the right REPLICA MONITOR" in denied[1]


def test_standby_that_replays_nothing_is_waited_for(
    standby: Standby, postgresql: Cloud
) -> None:
    standby.execute("SELECT pg_wal_replay_pause()")
    postgresql.cells[0].add_instances(5)

    finished = pausing.upgrade_with_pauses(
        postgresql,
        mend=lambda: standby.execute("SELECT pg_wal_replay_resume()"),
        # PostgreSQL shows the lag that was for longer than that.
        x={"max_lag": "0.5", "replicas": STANDBY, "max_pause": "5"},
    )

    [why] = pausing.reasons(postgresql).values()
    pausing.assert_done(postgresql, finished)
    assert why.startswith(f"replica {STANDBY} is ")


def test_standby_that_leaves_is_waited_for(standby: Standby, postgresql: Cloud) -> None:
    finished = pausing.upgrade_with_pauses(
        postgresql,
        cause=standby.stop,
        mend=standby.start,
        x={"max_lag": "600", "replicas": STANDBY},
    )

    [why] = pausing.reasons(postgresql).values()
    pausing.assert_done(postgresql, finished)
    assert f"no standby {STANDBY} is connected" in why


def test_name_that_no_standby_has_is_refused_also_beside_one_that_is_behind(
    standby: Standby, postgresql: Cloud
) -> None:
    standby.execute("SELECT pg_wal_replay_pause()")
    postgresql.cells[0].add_instances(5)
    x = {"max_lag": "0", "replicas": f"{STANDBY},db3"}

    code, line = refused(postgresql, x)
    standby.execute("SELECT pg_wal_replay_resume()")

    assert code == 78
    assert "no standby db3 is connected" in line
    assert f"standbys: {STANDBY})" in line


def test_role_that_may_not_see_standbys_is_refused(
    standby: Standby, postgresql: Cloud
) -> None:
    reader = standby.primary.readonly(postgresql.url)
    postgresql.configure(api_database={"connection": text(reader)})

    code, line = refused(postgresql, {"max_lag": "5", "replicas": STANDBY})

    assert code == 77
    assert "the right pg_monitor is missing" in line
