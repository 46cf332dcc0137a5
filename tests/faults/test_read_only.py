"""A database takes no writes: a cell's need not, and the API database's has to."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cellmap_migrations.testing.plugin import MakeCloud as MakeAnyCloud
from cellmap_migrations.testing.servers import Server
from tests.conftest import MakeCloud
from tests.faults.struck import BATCH, Struck
from tests.faults.tally import Tally
from tests.harness.cloud import Cloud
from tests.harness.inside import last_line
from tests.harness.waiting import wait_for

pytestmark = pytest.mark.only_on("mysql", "postgresql")

OTHER = {"mysql": "postgresql", "postgresql": "mysql"}

SETTING = {"mysql": "read_only", "postgresql": "default_transaction_read_only"}

SWITCH = {
    "mysql": ["SET GLOBAL {} = {}"],
    "postgresql": ["ALTER SYSTEM SET {} = {}", "SELECT pg_reload_conf()"],
}

SHOW = {"mysql": "SHOW VARIABLES LIKE '{}'", "postgresql": "SHOW {}"}


@contextmanager
def read_only(server: Server, backend: str) -> Iterator[None]:
    """Let a server refuse everybody's writes while the block runs."""
    switch(server, backend, "on")
    try:
        yield
    finally:
        switch(server, backend, "off")


def switch(server: Server, backend: str, state: str) -> None:
    """Switch the setting, and return when new sessions have it."""
    name = SETTING[backend]
    with server.admin().connect() as connection:
        for statement in SWITCH[backend]:
            connection.exec_driver_sql(statement.format(name, state))
        asked = (
            f"SHOW VARIABLES LIKE '{name}'" if backend == "mysql" else f"SHOW {name}"
        )
        wait_for(
            lambda: connection.exec_driver_sql(asked).one()[-1].lower() == state,
            f"{name} = {state}",
        )


@pytest.mark.fault("a cell's database was read-only")
def test_cell_is_read_only(
    make_cellmap_cloud: MakeAnyCloud, backend: str, tallied: Tally
) -> None:
    cloud = make_cellmap_cloud(Cloud, backend=OTHER[backend], cell_backend=backend)
    struck = Struck(cloud, 20 * BATCH)
    server = cloud.server(backend)
    struck.read_from(server.readonly(struck.cell.url))

    with read_only(server, backend):
        ended = struck.run()

    tallied.add(ended.code, rows=len(struck.servers))
    assert ended.code == 0, ended.err
    struck.assert_right()


@pytest.mark.fault("the API database became read-only")
def test_api_database_becomes_read_only(
    make_cloud: MakeCloud, backend: str, tallied: Tally
) -> None:
    struck = Struck(make_cloud(), 20 * BATCH)
    server = struck.cloud.server(backend)

    with read_only(server, backend):
        first = struck.run(attempts="2")
    running = struck.cloud.start_frozen(
        "after COMMIT #5", cell="cell1", x={"attempts": "2"}
    )
    with read_only(server, backend):
        running.thaw()
        second = running.wait()
    codes = struck.finish(first.code, second.code)

    tallied.add(*codes, rows=len(struck.servers))
    assert codes == [75, 75, 0]
    for ended in (first, second):
        assert re.search("failed 2 times, .*read-only", last_line(ended))
    struck.assert_right()
