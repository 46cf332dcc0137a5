"""A URL leads to its database, and no output has its password."""

import gc
import ssl
from collections.abc import Iterator
from unittest import mock

import pytest
import sqlalchemy as sa

from cellmap_migrations import run
from cellmap_migrations.common.stopping import Stopping
from cellmap_migrations.config import settings
from cellmap_migrations.databases.pymysql_connection import SharedTls
from cellmap_migrations.testing.config import text
from cellmap_migrations.testing.servers import PASSWORD
from tests.conftest import MakeCloud
from tests.harness import certificates
from tests.harness.inside import alembic_inside, opened, upgrade
from tests.harness.waiting import wait_for

# SQLite has neither users nor passwords.
WITH_ACCOUNTS = pytest.mark.only_on("mysql", "postgresql")

TEMPLATES = {
    "mysql": "{scheme}://{username}:{password}@{hostname}:{port}/%s?charset=utf8mb4",
    "postgresql": "{scheme}://{username}:{password}@{hostname}:{port}/%s"
    "?application_name=nova",
    "sqlite": "{scheme}:///%s",
}


def test_template_leads_to_a_cell_with_its_password_and_arguments(
    make_cloud: MakeCloud, backend: str
) -> None:
    cloud = make_cloud()
    first = cloud.add_cell("cell1")
    second = cloud.add_cell("cell2")
    template = TEMPLATES[backend] % second.url.database
    table = cloud.tables["cell_mappings"]
    update = table.update().filter_by(uuid=second.uuid)
    cloud.execute(update.values(database_connection=template))
    uuid = second.add_instance()

    finished = alembic_inside(cloud, "upgrade", "head", cell="cell2")

    assert first.uuid != second.uuid
    assert (finished.code, finished.err) == (0, "")
    assert {uuid} == cloud.mapped_uuids(second)


DRIVERS = {
    "mysql": [
        ("mysql+mysqldb", True),
        ("mysql", True),
        ("mariadb+pymysql", False),
        ("mysql+pymysql", False),
    ],
    "postgresql": [
        ("postgresql+psycopg2", True),
        ("postgresql", True),
        ("postgresql+psycopg", False),
    ],
}


@WITH_ACCOUNTS
def test_driver_that_is_not_installed_is_replaced_with_a_warning(
    make_cloud: MakeCloud, backend: str
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    table = cloud.tables["cell_mappings"]
    found = []
    for driver, _ in DRIVERS[backend]:
        url = text(cell.url.set(drivername=driver))
        cloud.execute(table.update().values(database_connection=url))
        cloud.clear()
        finished = alembic_inside(cloud, "upgrade", "0001", cell="cell1")
        assert finished.code == 0
        found.append((driver, finished.err.startswith("warning: cell cell1 (")))

    assert DRIVERS[backend] == found


def test_bad_libpq_argument_shows_no_password(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    url = sa.URL.create("postgresql+psycopg", "nova", PASSWORD, "127.0.0.1", 1, "n")
    bad = text(url) + "?sslmode=nonsense&nosuch=1"
    cell = cloud.add_cell("cell1", connection=bad)

    finished = alembic_inside(
        cloud, "upgrade", "head", cell=cell.uuid, x={"connect_timeout": "1"}
    )

    assert finished.code in (75, 78)
    assert finished.err.splitlines()[-1].startswith("error: cell cell1 (")


@WITH_ACCOUNTS
def test_internal_error_shows_a_traceback_without_the_password(
    make_cloud: MakeCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError(text(cloud.url), PASSWORD)

    monkeypatch.setattr("cellmap_migrations.operations.revisions.make_plan", broken)

    finished = alembic_inside(cloud, "upgrade", "head", cell=cell.uuid)

    assert finished.code == 70
    assert "Traceback" in finished.err
    assert finished.err.splitlines()[-1].startswith("error: internal error, please ")


@pytest.fixture
def no_garbage_collected() -> Iterator[None]:
    """Disable the garbage collector, which closes forgotten connections."""
    gc.disable()
    yield
    gc.enable()


@WITH_ACCOUNTS
@pytest.mark.usefixtures("no_garbage_collected")
def test_connection_that_is_in_use_at_the_end_is_closed_after_it(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")

    def numbers() -> set[int]:
        return {session.number for session in cloud.sessions().all()}

    others = numbers()
    with opened(cloud, cell) as there:
        in_use = there.api.engine.connect()
    assert numbers() - others

    in_use.close()

    wait_for(lambda: not numbers() - others, "a connection that is closed")


@WITH_ACCOUNTS
@pytest.mark.parametrize(("connect_timeout", "kept"), [(60, 1), (4, 0)])
def test_connection_is_kept_unless_its_timeouts_were_short_for_connecting(
    make_cloud: MakeCloud, connect_timeout: int, kept: int
) -> None:
    cloud = make_cloud()
    chosen = [f"config_file={cloud.config_file}", f"connect_timeout={connect_timeout}"]
    config = settings.load(["cell=cell1", *chosen])

    with run.opened_api(config, Stopping()) as api:
        assert api.engine.pool.checkedin() == kept  # type: ignore[attr-defined]


@pytest.mark.only_on("mysql")
def test_certificates_of_the_system_are_read_for_the_first_connection_only(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cloud.add_cell("cell1")
    create = ssl.create_default_context
    shared: list[ssl.SSLContext] = []

    with (
        certificates.loaded_each_time(),
        mock.patch.object(SharedTls, "shared", shared),
        mock.patch.object(ssl, "create_default_context", wraps=create) as loaded,
    ):
        upgrade(cloud)

    assert loaded.call_count == len(shared) == 1
