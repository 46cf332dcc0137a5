"""After each command a session of a server holds no setting of this package."""

from typing import Any
from unittest.mock import MagicMock, Mock

import psycopg
import pytest
import sqlalchemy as sa

from cellmap_migrations.databases import base, mysql_limits
from cellmap_migrations.databases.codes import Fault
from cellmap_migrations.databases.postgresql import PostgreSQL
from cellmap_migrations.testing.cell import Cell
from tests.conftest import MakeCloud, chosen
from tests.harness.cloud import Cloud
from tests.harness.inside import alembic_inside, cellmap_inside, opened

pytestmark = pytest.mark.only_on("mysql", "postgresql")

# What a session has of its own. A driver's arguments count as the client's.
HELD = {
    "mysql": "SELECT variable_name FROM information_schema.system_variables"
    " WHERE session_value <> global_value AND variable_scope = 'SESSION'",
    "mysql9": "SELECT UPPER(ours.variable_name)"
    " FROM performance_schema.session_variables ours"
    " JOIN performance_schema.global_variables theirs USING (variable_name)"
    " WHERE ours.variable_value <> theirs.variable_value",
    "postgresql": "SELECT name FROM pg_settings WHERE source = 'session'"
    " UNION ALL SELECT name FROM pg_prepared_statements",
}

# PyMySQL says them for nova, too.
DRIVER = {"AUTOCOMMIT"}

NAMES = "CHARACTER_SET_", "COLLATION_"

FROZEN = "IDLE_TRANSACTION_TIMEOUT"

# What a session without a pooler has.
OURS = {
    "mysql": {FROZEN, "LOCK_WAIT_TIMEOUT"},
    "mysql9": {
        "GROUP_REPLICATION_CONSISTENCY",
        "INNODB_LOCK_WAIT_TIMEOUT",
        "LOCK_WAIT_TIMEOUT",
        "WAIT_TIMEOUT",
    },
}


@pytest.fixture
def product(backend: str, pytestconfig: pytest.Config) -> str:
    """The name under which this module knows the server."""
    return "mysql9" if chosen(pytestconfig)[backend] == "mysql9" else backend


@pytest.fixture
def held(backend: str, product: str, monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """Collect the settings of every session that goes back to a pool of the package."""
    seen: list[set[str]] = []

    def look(driver: Any, _: Any) -> None:
        if backend == "postgresql":
            # A transaction has settings, which end with it.
            driver.autocommit = True
        with driver.cursor() as cursor:
            cursor.execute(HELD[product])
            names = {name for (name,) in cursor.fetchall()}
        driver.rollback()
        seen.append({name for name in names - DRIVER if not name.startswith(NAMES)})

    make = base.Backend.engine

    def watched(self: base.Backend, *given: Any, **named: Any) -> sa.Engine:
        engine = make(self, *given, **named)
        sa.event.listen(engine, "checkin", look)
        return engine

    monkeypatch.setattr(base.Backend, "engine", watched)
    return seen


@pytest.fixture
def pooler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every handshake be that of a pooler."""
    monkeypatch.setattr(mysql_limits, "is_direct", lambda *_: False)


def filled(cloud: Cloud) -> Cell:
    """Add a cell in which each command has something to do."""
    cell = cloud.add_cell("cell1")
    plain = cell.add_instances(5)
    cell.add_instance(vm_state="soft-delete")
    # One that no line of text has, and one whose mapping has no cell.
    cell.add_instance(created_at=None)
    cloud.map(plain[0], None)
    return cell


@pytest.mark.usefixtures("pooler")
def test_commands_leave_nothing_in_a_session(
    make_cloud: MakeCloud, held: list[set[str]]
) -> None:
    cloud = make_cloud()
    filled(cloud)

    ended = [
        cellmap_inside(cloud, *command.split())
        for command in [
            "cells",
            "upgrade --cell cell1 --dry-run",
            "check --cell cell1",
            "upgrade --cell cell1",
            "status",
            "journal --cell cell1",
            "repair --cell cell1",
            "reset --cell cell1",
        ]
    ]
    ended.append(
        alembic_inside(
            cloud, "downgrade", "base", cell="cell1", x={"remove_mappings": "yes"}
        )
    )

    codes = [each.code for each in ended]
    assert codes == [0, 0, 3, 0, 0, 0, 0, 0, 0], ended
    assert len(held) > len(codes)
    assert set().union(*held) == set()


@pytest.mark.only_on("mysql")
def test_session_without_a_pooler_ends_when_its_client_is_frozen(
    make_cloud: MakeCloud, held: list[set[str]], product: str
) -> None:
    cloud = make_cloud()
    filled(cloud)

    upgraded = cellmap_inside(cloud, "upgrade", "--cell", "cell1")

    assert upgraded.code == 0, upgraded.err
    # The tests' own sessions have none.
    assert OURS[product] in held
    assert set().union(*held) == OURS[product]


@pytest.mark.only_on("mariadb")
def test_old_server_gets_its_limits_in_the_session(
    make_cloud: MakeCloud, held: list[set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(mysql_limits.SINCE, "MariaDB", (99,))
    cloud = make_cloud()
    filled(cloud)

    upgraded = cellmap_inside(cloud, "upgrade", "--cell", "cell1")

    assert upgraded.code == 0, upgraded.err
    limits = {"LOCK_WAIT_TIMEOUT", "INNODB_LOCK_WAIT_TIMEOUT", "SQL_MODE", FROZEN}
    assert limits <= set().union(*held)


class Greeted:
    """A connection whose handshake said a number and a version."""

    def __init__(self, number: int, version: str) -> None:
        self.number, self.version = number, version

    def thread_id(self) -> int:
        """Return the number."""
        return self.number

    def get_server_info(self) -> str:
        """Return the version."""
        return self.version


@pytest.mark.parametrize(
    ("number", "version", "direct"),
    [
        (7, "10.11.6-MariaDB", True),
        (7, "5.5.5-10.11.6-MariaDB", True),
        (8, "10.11.6-MariaDB", False),
        (7, "8.0.11", False),
    ],
)
def test_pooler_has_a_handshake_of_its_own(
    number: int, version: str, *, direct: bool
) -> None:
    greeted = Greeted(number, version)

    assert mysql_limits.is_direct(greeted, 7, "10.11.6-MariaDB") is direct


@pytest.mark.only_on("mysql")
def test_server_is_asked_once_for_session_and_version() -> None:
    entry = MagicMock(info={})
    cursor = entry.driver_connection.cursor.return_value.__enter__.return_value
    cursor.fetchone.return_value = (7, "10.11.6-MariaDB")

    found = [mysql_limits.query_session(entry) for _ in range(2)]

    assert found == [(7, "10.11.6-MariaDB")] * 2
    cursor.execute.assert_called_once()


@pytest.mark.only_on("mariadb")
def test_mariadb_keeps_to_the_limits_of_a_statement(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    asked = (
        "SELECT @@lock_wait_timeout, @@innodb_lock_wait_timeout, @@max_statement_time"
    )

    with opened(cloud, cell) as inside:
        found = [
            tuple(database.read_once(sa.text(asked))[0])
            for database in (inside.database, inside.api)
        ]

    assert found == [(1, 1, 30.0)] * 2


@pytest.mark.only_on("mysql9")
def test_mysql_keeps_to_the_limits_of_a_statement(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    asked = "SELECT @@lock_wait_timeout, @@innodb_lock_wait_timeout, @@wait_timeout"

    with opened(cloud, cell) as inside:
        found = [
            tuple(database.read_once(sa.text(asked))[0])
            for database in (inside.database, inside.api)
        ]

    assert found == [(1, 1, 5)] * 2


@pytest.mark.parametrize("log", ["OFF", "ON"])
@pytest.mark.parametrize(
    "statement",
    [
        *("SELECT 1", "DESCRIBE t", "SHOW CREATE TABLE t", "CREATE TABLE t (i INT)"),
        *("INSERT INTO t", "UPDATE t", "DELETE FROM t"),
    ],
)
def test_mariadb_is_told_before_each_statement(statement: str, log: str) -> None:
    limits = mysql_limits.Limits()
    limits.known = {"max_statement_time": "0", "log_bin": log, "sql_mode": ""}
    cursor = Mock(mogrify=lambda text, _: text)

    said, _ = limits.said(cursor, statement, ())

    assert said.startswith(limits.prefix())
    for limit in ("innodb_lock_wait_timeout=1", "max_statement_time=30"):
        assert limit in said
    assert statement in said


HINTS = (
    "SET_VAR(lock_wait_timeout=1) SET_VAR(group_concat_max_len=16777216)"
    " SET_VAR(time_zone='+00:00')"
    " SET_VAR(sql_mode='TRADITIONAL,ANSI_QUOTES')"
)


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("SELECT 1", f"SELECT /*+ {HINTS} MAX_EXECUTION_TIME(30000) */ 1"),
        ("INSERT INTO t", f"INSERT /*+ {HINTS} */ INTO t"),
        ("DELETE FROM t", f"DELETE /*+ {HINTS} */ FROM t"),
        ("SHOW GLOBAL STATUS", "SHOW GLOBAL STATUS"),
        ("\nCREATE TABLE t (i INT)", "\nCREATE TABLE t (i INT)"),
    ],
)
def test_mysql_is_told_in_hints(statement: str, said: str) -> None:
    limits = mysql_limits.Limits()
    limits.known = {"max_execution_time": "0", "sql_mode": "STRICT,ANSI_QUOTES"}

    assert limits.said(None, statement, (1,)) == (said, (1,))
    assert limits.prefix() == ""


@pytest.mark.only_on("postgresql")
@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ("transaction blocks not allowed in statement pooling mode", Fault.POOLING),
        ("query_wait_timeout", Fault.TRANSIENT),
    ],
)
def test_pooler_that_refuses_transactions_is_not_tried_again(
    words: str, fault: Fault
) -> None:
    assert PostgreSQL().fault(psycopg.errors.ProtocolViolation(words)) is fault


@pytest.mark.only_on("mariadb")
def test_values_are_quoted_for_a_statement_in_a_statement(
    make_cloud: MakeCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mysql_limits.Limits, "logs_statements", lambda _: True)
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    odd = ["it's", "back\\slash", "100%s", "%(name)s", "new\nline", "''", "項目"]
    expected = {cell.add_instance(project_id=text): text for text in odd}
    expected |= dict.fromkeys(cell.add_instances(3, project_id="plain"), "plain")

    upgraded = cellmap_inside(cloud, "upgrade", "--cell", "cell1")

    assert upgraded.code == 0, upgraded.err
    found = {uuid: row.project_id for uuid, row in cloud.mappings().items()}
    assert found == expected
