"""A database takes no writes, not even those of an administrator."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from cellmap_migrations.testing.config import text
from cellmap_migrations.testing.plugin import MakeCloud as MakeAnyCloud
from tests.conftest import MakeCloud
from tests.faults.struck import BATCH, Struck
from tests.harness.cloud import Cloud
from tests.harness.inside import cellmap_inside, last_line, upgrade

# SQL that makes a server or a database read-only, and SQL that ends this.
SERVER = ("SET GLOBAL super_read_only = ON", "SET GLOBAL read_only = OFF")

SCHEMA = ("ALTER DATABASE `{}` READ ONLY = 1", "ALTER DATABASE `{}` READ ONLY = 0")

# It makes only new sessions read-only. MariaDB before 11.1 has only the other name.
SESSIONS = tuple(f"SET GLOBAL transaction_read_only = {each}" for each in ("ON", "OFF"))

OF_MARIADB = tuple(each.replace("transaction", "tx") for each in SESSIONS)

ALWAYS = pytest.mark.parametrize("way", [SERVER, SCHEMA], ids=["server", "schema"])

FAILED = "failed 2 times, .*(?i:read.only)"


@contextmanager
def read_only(cloud: Cloud, url: sa.URL, way: tuple[str, ...]) -> Iterator[None]:
    """Let the server refuse all writes to the database at *url* during the block."""
    begin, end = (statement.format(url.database) for statement in way)
    with cloud.server("mysql").admin().connect() as connection:
        connection.exec_driver_sql(begin)
        try:
            yield
        finally:
            connection.exec_driver_sql(end)


@pytest.fixture
def struck(make_cloud: MakeCloud, backend: str) -> Struck:
    """A cell whose runs use the administrator's account in the API database."""
    del backend
    struck = Struck(make_cloud(), 20 * BATCH)
    as_admin = text(struck.cloud.url.set(username="admin"))
    struck.cloud.configure(api_database={"connection": as_admin})
    return struck


@pytest.mark.only_on("mysql9")
@ALWAYS
def test_cell_is_read_only(
    make_cellmap_cloud: MakeAnyCloud, backend: str, way: tuple[str, ...]
) -> None:
    del backend
    cloud = make_cellmap_cloud(Cloud, backend="sqlite", cell_backend="mysql")
    struck = Struck(cloud, 20 * BATCH)
    struck.read_from(struck.cell.url.set(username="admin"))

    with read_only(cloud, struck.cell.url, way):
        ended = upgrade(cloud)

    assert ended.code == 0, ended.err
    struck.assert_right()


@pytest.mark.only_on("mysql9")
@ALWAYS
def test_api_database_becomes_read_only(struck: Struck, way: tuple[str, ...]) -> None:
    cloud = struck.cloud
    running = cloud.start_frozen("after COMMIT #5", cell="cell1", x={"attempts": "2"})

    with read_only(cloud, cloud.url, way):
        running.thaw()
        ended = running.wait()

    assert struck.finish(ended.code) == [75, 0]
    assert re.search(FAILED, last_line(ended))
    struck.assert_right()


@pytest.mark.only_on("mysql9")
@pytest.mark.parametrize(
    "way", [SERVER, SCHEMA, SESSIONS], ids=["server", "schema", "sessions"]
)
def test_api_database_of_mysql_was_read_only_before(
    struck: Struck, way: tuple[str, ...]
) -> None:
    assert_only_read(struck, way)


@pytest.mark.only_on("mariadb")
def test_api_database_of_mariadb_was_read_only_before(struck: Struck) -> None:
    assert_only_read(struck, OF_MARIADB)


def assert_only_read(struck: Struck, way: tuple[str, ...]) -> None:
    """Upgrade a read-only API database in vain, read there, and upgrade afterwards."""
    cloud = struck.cloud
    commands = ("status", "check --cell cell1", "upgrade --cell cell1 --dry-run")

    with read_only(cloud, cloud.url, way):
        ended = upgrade(cloud, attempts="2")
        read = [cellmap_inside(cloud, *command.split()) for command in commands]

    assert ended.code == 75
    assert re.search(FAILED, last_line(ended))
    assert cloud.our_tables() == set()
    assert [each.code for each in read] == [0, 3, 0]
    assert struck.finish(ended.code) == [75, 0]
    struck.assert_right()
