"""The tests' MySQL proxy lends connections as ProxySQL does, and hides no fault."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa

from cellmap_migrations.testing.servers import plain_engine
from tests.conftest import MakeCloud
from tests.harness.poolers import multiplexer, through
from tests.harness.waiting import wait_for

pytestmark = pytest.mark.only_on("mysql")


@dataclass(frozen=True)
class Pooled:
    """Two databases behind one connection to the server."""

    api: sa.Engine
    cell: sa.Engine


@pytest.fixture
def pooled(make_cloud: MakeCloud) -> Iterator[Pooled]:
    """Run the proxy before a cloud."""
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    with multiplexer(cloud.url, 1) as proxy:
        api, other = (
            plain_engine(through(proxy, url)) for url in (cloud.url, cell.url)
        )
        yield Pooled(api, other)


def ask(engine: sa.Engine, question: str) -> object:
    """Return the only value that a new client gets."""
    with engine.connect() as connection:
        return connection.exec_driver_sql(question).scalar_one()


def test_setting_of_one_client_is_there_for_the_next(pooled: Pooled) -> None:
    with pooled.api.connect() as connection:
        connection.exec_driver_sql("SET SESSION lock_wait_timeout = 7")

    assert ask(pooled.cell, "SELECT @@lock_wait_timeout") == 7


def test_each_client_has_the_database_and_sql_mode_that_it_set(pooled: Pooled) -> None:
    with pooled.api.connect() as connection:
        connection.exec_driver_sql("SET SESSION sql_mode = 'TRADITIONAL'")
        before = ask(pooled.cell, "SELECT DATABASE()"), ask(pooled.cell, MODE)
        after = connection.exec_driver_sql(f"SELECT DATABASE(), ({MODE})").one()

    assert before == (pooled.cell.url.database, 0)
    assert tuple(after) == (pooled.api.url.database, 1)


MODE = "SELECT @@sql_mode LIKE '%%TRADITIONAL%%'"


def test_transaction_keeps_its_connection(pooled: Pooled) -> None:
    insert = "INSERT INTO instances (uuid, deleted) VALUES ('one', 0)"
    count = "SELECT COUNT(*) FROM instances"
    with pooled.cell.connect() as connection:
        connection.exec_driver_sql(insert)
        with suppress(sa.exc.IntegrityError):
            # An error packet does not say that the transaction is still open.
            connection.exec_driver_sql(insert)
        assert connection.exec_driver_sql(count).scalar() == 1
        connection.rollback()

    assert ask(pooled.cell, count) == 0


def test_client_that_goes_away_in_a_transaction_loses_it(pooled: Pooled) -> None:
    session = ask(pooled.cell, "SELECT CONNECTION_ID()")
    connection = pooled.cell.raw_connection()
    connection.cursor().execute("SELECT * FROM instances FOR UPDATE")
    client: Any = connection.driver_connection
    client._force_close()
    connection.invalidate()

    wait_for(
        lambda: ask(pooled.cell, "SELECT CONNECTION_ID()") != session,
        "another session",
    )


def test_large_packets_pass_and_the_largest_are_refused(pooled: Pooled) -> None:
    with pooled.api.connect() as connection:
        text = connection.exec_driver_sql("SELECT %s", ("x" * 2_000_000,)).scalar_one()
    with pooled.api.connect() as connection, pytest.raises(sa.exc.DBAPIError):
        connection.exec_driver_sql("SELECT LENGTH(%s)", ("x" * (16 << 20),))

    assert len(text) == 2_000_000
