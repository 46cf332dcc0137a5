"""Old servers get SQL that they have, or are refused before anything is sent."""

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.mysql.base import MySQLDialect
from sqlalchemy.dialects.postgresql.base import PGDialect

from cellmap_migrations.databases import mysql_limits
from tests.conftest import MakeCloud
from tests.harness.inside import alembic_inside, cellmap_inside, last_line, upgrade
from tests.harness.statements import collected

pytestmark = pytest.mark.only_on("mysql", "postgresql")


def pretend(monkeypatch: pytest.MonkeyPatch, backend: str, version: str) -> None:
    """Let every server say that it is of *version*, and SQLAlchemy believe it."""
    numbers = [int(number) for number in version.partition("-")[0].split(".")]
    if backend == "mysql":
        parse = MySQLDialect._parse_server_version
        query = mysql_limits.query_session
        monkeypatch.setattr(
            MySQLDialect,
            "_parse_server_version",
            lambda dialect, _: parse(dialect, version),
        )
        monkeypatch.setattr(
            mysql_limits, "query_session", lambda entry: (query(entry)[0], version)
        )
        return
    monkeypatch.setattr(
        PGDialect, "_get_server_version_info", lambda *_: tuple(numbers)
    )
    major, *minor = numbers
    if len(minor) > 1:
        minor = [minor[0] * 100 + minor[1]]
    monkeypatch.setattr(
        psycopg.ConnectionInfo, "server_version", major * 10_000 + sum(minor)
    )


@pytest.mark.parametrize(
    ("backend", "version", "said"),
    [
        ("mysql", "10.0.38-MariaDB-1~xenial", "MariaDB 10.0.38, and 10.1.1 is"),
        ("mysql", "5.5.62-0ubuntu0.14.04.1", "MySQL 5.5.62, and 5.6.5 is"),
        ("postgresql", "9.6.24", "PostgreSQL 9.6.24, and 11 is"),
        ("postgresql", "10.23", "PostgreSQL 10.23, and 11 is"),
    ],
    indirect=["backend"],
)
def test_server_that_is_too_old_is_refused(
    backend: str,
    version: str,
    said: str,
    make_cloud: MakeCloud,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cloud = make_cloud()
    cloud.add_cell("cell1").add_instance()
    tables = sa.inspect(cloud.engine).get_table_names()
    pretend(monkeypatch, backend, version)

    with collected() as statements:
        refused = upgrade(cloud)

    assert refused.code == 78, refused.err
    assert last_line(refused).startswith("error: API database (")
    assert f"the server is {said} the oldest version" in last_line(refused)
    assert statements == []
    assert sa.inspect(cloud.engine).get_table_names() == tables


@pytest.mark.parametrize(
    ("backend", "version", "newer"),
    [
        (
            "mysql",
            "10.1.48-MariaDB-0ubuntu0.18.04.1",
            {"SET STATEMENT", "EXECUTE IMMEDIATE", "RETURNING", "JSON_TABLE"},
        ),
        ("postgresql", "11.22", {"string_to_table("}),
    ],
    indirect=["backend"],
)
def test_old_server_is_sent_only_what_it_has(
    backend: str,
    version: str,
    newer: set[str],
    make_cloud: MakeCloud,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(5)
    cell.add_instance(vm_state="soft-delete")
    cell.add_instance(created_at=None)
    pretend(monkeypatch, backend, version)
    # With a log of statements, newer servers are sent EXECUTE IMMEDIATE.
    monkeypatch.setattr(mysql_limits.Limits, "logs_statements", lambda _: True)

    with collected() as statements:
        ended = [
            upgrade(cloud),
            cellmap_inside(cloud, "check", "--cell", "cell1"),
            cellmap_inside(cloud, "repair", "--cell", "cell1"),
        ]
        mapped = cloud.mappings()
        ended.append(
            alembic_inside(
                cloud, "downgrade", "base", cell="cell1", x={"remove_mappings": "yes"}
            )
        )

    assert [each.code for each in ended] == [0] * 4, ended
    assert set(uuids) <= set(mapped)
    assert cloud.mappings() == {}
    sent = "\n".join(statements)
    assert {words for words in newer if words in sent} == set()


@pytest.mark.only_on("mysql")
@pytest.mark.parametrize(
    ("version", "name", "numbers"),
    [
        ("5.7.33-0ubuntu0.16.04.1", "MySQL", (5, 7, 33)),
        ("5.7.44-48-log", "MySQL", (5, 7, 44)),
        ("8.4.6", "MySQL", (8, 4, 6)),
        ("10.1.48-MariaDB-0ubuntu0.18.04.1", "MariaDB", (10, 1, 48)),
        ("10.6.4-1-MariaDB-enterprise-log", "MariaDB", (10, 6, 4)),
        ("somebody's own", "MySQL", ()),
    ],
)
def test_version_is_read_in_front_of_a_distributions(
    version: str, name: str, numbers: tuple[int, ...]
) -> None:
    assert mysql_limits.server(version) == (name, numbers)


@pytest.mark.only_on("mysql")
@pytest.mark.parametrize("version", ["5.7.33-0ubuntu0.16.04.1", "5.7.44-48-log"])
def test_mysql_of_a_distribution_gets_its_limits_in_the_session(
    version: str,
) -> None:
    limits = mysql_limits.Limits()
    limits.version = version
    limits.known = {"max_execution_time": "0", "sql_mode": ""}

    settings = limits.of_session(direct=True)

    assert settings["max_execution_time"] == "30000"
    assert settings["group_concat_max_len"] == f"{16 << 20}"
    assert limits.said(None, "SELECT 1", ()) == ("SELECT 1", ())
