"""nova.conf is read as nova-manage reads it."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.conftest import MakeCloud
from tests.nova.cloud import Cloud, text
from tests.nova.inside import alembic_inside
from tests.nova.process import Extra, Finished
from tests.nova.servers import PASSWORD

# SQLite has neither users nor passwords.
WITH_ACCOUNTS = pytest.mark.only_on("mysql", "postgresql")


def current(cloud: Cloud, x: Extra | None = None) -> Finished:
    """Run the cheapest command that reads nova.conf and opens the API database."""
    return alembic_inside(cloud, "current", cell="cell1", x=x)


@pytest.fixture
def nova_conf(cloud: Cloud) -> Path:
    """The nova.conf of a cloud with one cell."""
    cloud.add_cell("cell1").add_instance()
    return cloud.config_file


def test_later_config_file_wins(cloud: Cloud, nova_conf: Path, tmp_path: Path) -> None:
    bad, local = tmp_path / "bad.conf", tmp_path / "local.conf"
    bad.write_text("[api_database]\nconnection = no url\n")
    local.write_text("[cellmap]\nmax_rows = none\n")
    order = [bad, nova_conf], [nova_conf, bad], [nova_conf, local]

    codes = [
        current(cloud, {"config_file": [str(path) for path in paths]}).code
        for paths in order
    ]

    assert codes == [0, 78, 78]


def test_config_dir_is_read_in_the_order_of_names(
    cloud: Cloud, nova_conf: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "nova.conf.d"
    folder.mkdir()
    (folder / "10-bad.conf").write_text("[api_database]\nconnection = no url\n")
    (folder / "20-good.conf").write_text(nova_conf.read_text())
    (folder / "30-ignored.txt").write_text("[api_database]\nconnection = no url\n")

    finished = current(cloud, {"config_file": None, "config_dir": str(folder)})

    assert finished.code == 0


def test_default_files_are_those_of_nova(
    cloud: Cloud, nova_conf: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "home" / ".nova"
    (folder / "nova.conf.d").mkdir(parents=True)
    (folder / "nova.conf").write_text(nova_conf.read_text())
    (folder / "nova.conf.d" / "x.conf").write_text("[cellmap]\nbatch_rows_max = 0\n")
    env = {"HOME": str(folder.parent)}

    finished = cloud.alembic("current", cell="cell1", x={"config_file": None}, env=env)

    assert finished.code == 78
    assert "batch_rows_max" in finished.err


def test_environment_wins_over_files(cloud: Cloud, nova_conf: Path) -> None:
    connection = text(cloud.url)
    cloud.configure(api_database={"connection": "no url"})
    env = {"OS_API_DATABASE__CONNECTION": connection}

    finished = cloud.alembic("upgrade", "head", cell="cell1", env=env)

    assert nova_conf.exists()
    assert finished.code == 0


def test_dollar_signs_are_references_unless_doubled(
    cloud: Cloud, nova_conf: Path
) -> None:
    nova_conf.write_text(
        nova_conf.read_text().replace("[api_database]", "[DEFAULT]\n[api_database]")
        + "[cellmap]\nmax_rows = $nosuch\n"
    )

    finished = current(cloud)

    assert finished.code == 78
    assert "write $$ for a dollar sign" in finished.err


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("connection = xyzzy\n", id="no group"),
        pytest.param("[api_database]\nxyzzy plugh\n", id="no equals sign"),
        pytest.param("[api_database]\nconnection = my$xyzzy\n", id="dollar"),
        pytest.param("[api_database]\nconnection = a${xyzzy.plugh}\n", id="braces"),
        pytest.param("[api_database]\nconnection = a${xyzzy\n", id="open brace"),
        pytest.param("[api_database]\nconnection = xyzzy plugh\n", id="no URL"),
        pytest.param(
            "[api_database]\nconnection = oracle://u:xyzzy@h/n\n", id="oracle"
        ),
        pytest.param(
            "[api_database]\nconnection = mysql://u:xyzzy@h:plugh/n\n", id="port"
        ),
    ],
)
def test_broken_nova_conf_is_refused_without_showing_it(
    cloud: Cloud, nova_conf: Path, content: str
) -> None:
    nova_conf.write_text(content)

    finished = current(cloud)

    assert (finished.code, finished.out) == (78, "")
    assert len(finished.err.splitlines()) == 1


def test_dash_x_wins_over_nova_conf(cloud: Cloud, nova_conf: Path) -> None:
    cloud.configure(cellmap={"on_reject": "fail"})
    cloud.cells[0].add_instance(project_id=None)

    fails = alembic_inside(cloud, "upgrade", "0001", cell="cell1")
    skip = {"on_reject": "skip"}
    skips = alembic_inside(cloud, "upgrade", "0001", cell="cell1", x=skip)

    assert nova_conf.exists()
    assert (fails.code, skips.code) == (65, 0)


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

    monkeypatch.setattr("cellmap_migrations.copying.plan.make", broken)

    finished = alembic_inside(cloud, "upgrade", "head", cell=cell.uuid)

    assert finished.code == 70
    assert "Traceback" in finished.err
    assert finished.err.splitlines()[-1].startswith("error: internal error, please ")
