"""nova.conf is read as nova-manage reads it."""

from pathlib import Path

import pytest

from cellmap_migrations.testing.config import text
from cellmap_migrations.testing.process import Extra, Finished
from tests.harness.cloud import Cloud
from tests.harness.inside import alembic_inside


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
