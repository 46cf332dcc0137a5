"""A command that only reads has transactions in which the server refuses writes."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import sqlalchemy as sa

from cellmap_migrations.common.stopping import Stopping
from cellmap_migrations.config import settings
from cellmap_migrations.databases import connect, urls
from cellmap_migrations.databases.base import DATABASE_ERRORS
from cellmap_migrations.databases.database import Database
from tests.conftest import MakeCloud
from tests.harness.cloud import Cloud
from tests.harness.inside import alembic_inside, cellmap_inside, opened

# MariaDB's number, and PostgreSQL's words.
REFUSED = "1792|read-only transaction"

WRITE = sa.text("UPDATE instance_mappings SET user_id = 'x'")


@pytest.fixture
def sessions() -> Any:
    """Collect, from every session that ends, whether it may only read."""
    seen: list[bool] = []

    def look(connection: Any, _: Any) -> None:
        seen.append(bool(connection.execute("PRAGMA query_only").fetchone()[0]))

    sa.event.listen(sa.pool.Pool, "checkin", look)
    yield seen
    sa.event.remove(sa.pool.Pool, "checkin", look)


@pytest.mark.parametrize(
    "command",
    [
        "upgrade --cell cell1 --dry-run",
        "repair --cell cell1 --dry-run",
        "check --cell cell1",
        "status",
        "journal --cell cell1",
        "cells",
        "report",
    ],
)
def test_command_cannot_write(cloud: Cloud, sessions: list[bool], command: str) -> None:
    cloud.add_cell("cell1").add_instances(3)
    sessions.clear()

    cellmap_inside(cloud, *command.split())

    assert set(sessions) == {True}


def test_alembic_check_cannot_write(cloud: Cloud, sessions: list[bool]) -> None:
    cloud.add_cell("cell1").add_instances(3)
    sessions.clear()

    alembic_inside(cloud, "check", cell="cell1")

    assert set(sessions) == {True}


def test_upgrade_can_write_in_the_api_database_only(
    cloud: Cloud, sessions: list[bool]
) -> None:
    cloud.add_cell("cell1").add_instances(3)
    sessions.clear()

    cellmap_inside(cloud, "upgrade", "--cell", "cell1")

    assert set(sessions) == {True, False}


@pytest.fixture
def reading(make_cloud: MakeCloud) -> Iterator[Database]:
    """An API database as commands open it that only read."""
    cloud = make_cloud()
    cloud.map("5e2f5ac6-0000-4000-8000-000000000001", None)
    config = settings.load([f"config_file={cloud.config_file}"])
    url, _ = urls.parse(config.api_connection, "api")
    database = connect.connect(
        url, what="API", settings=config, stopping=Stopping(), read_only=True
    )
    with closing(database):
        yield database


@pytest.mark.only_on("mysql", "postgresql")
def test_server_refuses_a_write_in_each_transaction(reading: Database) -> None:
    for _ in range(2):
        with (
            reading.engine.begin() as connection,
            pytest.raises(DATABASE_ERRORS, match=REFUSED),
        ):
            connection.execute(WRITE)


@pytest.mark.only_on("postgresql")
def test_server_refuses_a_write_in_autocommit(reading: Database) -> None:
    with reading.engine.connect() as opened_one:
        connection = opened_one.execution_options(isolation_level="AUTOCOMMIT")
        with pytest.raises(DATABASE_ERRORS, match=REFUSED):
            connection.execute(WRITE)
        # The transaction around the statement has ended with it.
        assert connection.scalar(sa.select(1)) == 1


@pytest.mark.only_on("mysql", "postgresql")
def test_server_refuses_a_write_where_an_upgrade_only_reads(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuid = cell.add_instance()
    cloud.map(uuid, cell)

    with opened(cloud, cell) as inside:
        with (
            inside.database.engine.begin() as connection,
            pytest.raises(DATABASE_ERRORS, match=REFUSED),
        ):
            connection.execute(sa.text("UPDATE instances SET user_id = 'x'"))
        with (
            inside.api.reading() as connection,
            pytest.raises(DATABASE_ERRORS, match=REFUSED),
        ):
            connection.execute(WRITE)
        # It can write where it means to.
        with inside.api.engine.begin() as connection:
            connection.execute(WRITE)

    assert cloud.mappings()[uuid].user_id == "x"
    row = cell.row(uuid)
    assert row is not None
    assert row["user_id"] != "x"
