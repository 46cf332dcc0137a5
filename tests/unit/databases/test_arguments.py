"""A row of cell_mappings may have harmless URL arguments; others need nova.conf."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from cellmap_migrations.common import secrets
from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.config import text
from tests.conftest import MakeCloud
from tests.harness.cloud import Cloud
from tests.harness.inside import alembic_inside, cellmap_inside, upgrade

REFUSED = {
    "mysql": [
        ("init_command", "CREATE TABLE pwned (id INT)"),
        ("local_infile", "1"),
        ("charset", "utf8mb4, SESSION sql_mode = ''"),
        ("collation", "utf8mb4_bin, SESSION sql_mode = ''"),
        ("sql_mode", "', SESSION foreign_key_checks = '0"),
        ("read_default_file", "/etc/mysql/debian.cnf"),
        ("read_default_group", "client"),
        ("client_flag", "128"),
        ("auth_plugin_map", "x"),
        ("cursorclass", "x"),
        ("conv", "x"),
        ("creator", "x"),
        ("plugin", "x"),
        ("user", "root"),
        ("db", "nova_api"),
    ],
    "postgresql": [
        ("options", "-c role=postgres"),
        ("options", "-csearch_path=x -crole=y"),
        ("passfile", "/root/.pgpass"),
        ("service", "x"),
        ("hostaddr", "127.0.0.2"),
        ("conninfo", "service=x"),
        ("sslkeylogfile", "/tmp/keys"),
        ("plugin", "x"),
        ("dbname", "nova_api"),
    ],
    "sqlite": [
        ("mode", "rwc"),
        ("mode", "memory"),
        ("vfs", "x"),
        ("cache", "shared"),
        ("plugin", "x"),
    ],
}

TAKEN = {
    "mysql": "charset=utf8mb4&connect_timeout=3&read_timeout=20&program_name=a@b"
    "&ssl_disabled=true&sql_mode=TRADITIONAL",
    "postgresql": "sslmode=disable&application_name=a@b&target_session_attrs=any"
    "&connect_timeout=3&keepalives=1&options=-csearch_path=public",
    "sqlite": "timeout=3",
}


def store(cloud: Cloud, cell: Cell, connection: str) -> None:
    """Let the row of *cell* have *connection*."""
    rows = cloud.tables["cell_mappings"]
    cloud.execute(
        rows.update().filter_by(uuid=cell.uuid).values(database_connection=connection)
    )


def test_argument_that_reaches_beyond_the_database_is_refused(
    make_cloud: MakeCloud, backend: str
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    tables = set(sa.inspect(cell.engine).get_table_names())

    for name, value in REFUSED[backend]:
        store(cloud, cell, text(cell.url.update_query_dict({name: value})))
        finished = upgrade(cloud)

        assert finished.code == 78
        assert finished.err == (
            f"error: cell cell1 ({cell.uuid}): database_connection has ?{name}=, which "
            "a cell may have only if [database] or [api_database] connection in "
            "nova.conf has the same; "
            "correct it with nova-manage cell_v2 update_cell\n"
        )
    assert set(sa.inspect(cell.engine).get_table_names()) == tables
    assert cloud.our_tables() == set()


def test_argument_that_only_says_how_to_connect_is_taken(
    make_cloud: MakeCloud, backend: str
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuid = cell.add_instance()
    store(cloud, cell, f"{text(cell.url)}?{TAKEN[backend]}")

    finished = upgrade(cloud)

    assert (finished.code, cloud.mapped_uuids(cell)) == (0, {uuid}), finished.err


@pytest.mark.only_on("mysql")
@pytest.mark.parametrize("group", ["database", "api_database"])
@pytest.mark.parametrize("template", [True, False])
def test_options_file_that_nova_conf_names_is_read_for_a_cell_too(
    make_cloud: MakeCloud, tmp_path: Path, group: str, *, template: bool
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuid = cell.add_instance()
    file = tmp_path / "my.cnf"
    file.write_text(f"[client]\npassword = {cell.url.password}\n")
    query = {"read_default_file": str(file)}
    here = cloud.url if group == "api_database" else cell.url
    cloud.configure(**{group: {"connection": text(here.update_query_dict(query))}})
    written = text(cell.url.set(password=None).update_query_dict(query))
    if template and group == "database":
        written = "{scheme}://{username}@{hostname}:{port}/{path}?{query}"
    store(cloud, cell, written)

    finished = upgrade(cloud)

    assert (finished.code, cloud.mapped_uuids(cell)) == (0, {uuid}), finished.err


@pytest.mark.only_on("mysql")
def test_options_file_other_than_that_of_nova_conf_is_refused(
    make_cloud: MakeCloud, tmp_path: Path
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    files = [tmp_path / name for name in ("ours.cnf", "theirs.cnf")]
    for file in files:
        file.write_text("[client]\n")
    ours, theirs = (
        text(cell.url.update_query_dict({"read_default_file": str(file)}))
        for file in files
    )
    cloud.configure(database={"connection": ours})
    store(cloud, cell, theirs)

    finished = upgrade(cloud)

    assert (finished.code, cloud.our_tables()) == (78, set())
    assert "?read_default_file=, which a cell may have only if" in finished.err


@pytest.mark.only_on("mysql")
def test_options_file_that_is_none_is_not_shown(
    make_cloud: MakeCloud, tmp_path: Path
) -> None:
    cloud = make_cloud()
    cloud.add_cell("cell1")
    file = tmp_path / "shadow"
    file.write_text("root:xyzzy\n[client]\nplugh\n")
    url = cloud.url.update_query_dict({"read_default_file": str(file)})
    cloud.configure(api_database={"connection": text(url)})

    finished = upgrade(cloud)

    assert finished.code == 78
    assert "MissingSectionHeaderError" in finished.err
    assert len(finished.err.splitlines()) == 1


@pytest.mark.parametrize(
    "url", ["evil://h/n", "evil+mysql://h/n", "mysql.evil://h/n", "oracle://h/n"]
)
def test_dialect_that_is_none_of_novas_is_refused(cloud: Cloud, url: str) -> None:
    store(cloud, cloud.add_cell("cell1"), url)

    finished = upgrade(cloud)

    assert finished.code == 78
    assert len(finished.err.splitlines()) == 1


@pytest.mark.parametrize(
    "url",
    [
        "mysql://{hostname}/{password}",
        "sqlite:////{password}",
        "sqlite:////{password[0]}{password[1]}",
        "mysql://{hostname}/{password!r}",
        "mysql://h/n?charset={password}",
        "mysql://h/{query}",
        "mysql://h/n&{query}",
        "mysql://h/n&password=plugh",
        "postgresql:///n?host=nova:plugh@h",
        "sqlite:////{query[0]}{query[1]}",
    ],
)
def test_password_of_nova_conf_is_for_the_login_only(cloud: Cloud, url: str) -> None:
    store(cloud, cloud.add_cell("cell1"), url)
    base = "mysql://nova:xyzzy@127.0.0.1:1/nova?password=plugh"
    cloud.configure(database={"connection": base})

    finished = cellmap_inside(cloud, "cells")

    assert (finished.code, "in the wrong place" in finished.out) == (0, True)


def test_passwords_of_all_cells_and_of_nova_conf_are_known(cloud: Cloud) -> None:
    cloud.add_cell("cell1")
    store(cloud, cloud.add_cell("cell2"), "mysql://nova:xyzzy@127.0.0.1:1/nova")
    cloud.configure(database={"connection": "mysql://nova:plugh@127.0.0.1:1/nova"})

    alembic_inside(cloud, "current", cell="cell1")

    assert secrets.mask("refused: xyzzy, plugh") == "refused: ***, ***"


@pytest.mark.parametrize("what", ["#", "?x", "%23", ""])
def test_file_of_a_cell_is_never_created(
    cloud: Cloud, tmp_path: Path, what: str
) -> None:
    url = f"sqlite:///file:{tmp_path}/new{what}?uri=true"
    store(cloud, cloud.add_cell("cell1"), url)
    before = set(tmp_path.iterdir())

    finished = upgrade(cloud)

    assert (finished.code, set(tmp_path.iterdir())) == (78, before)


def test_file_that_is_no_database_is_refused(cloud: Cloud, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("plain text, and more of it\n" * 100)
    store(cloud, cloud.add_cell("cell1"), f"sqlite:///{tmp_path}/text")

    finished = upgrade(cloud)

    assert finished.code == 78
    assert "file is not a database" in finished.err


def test_name_of_a_cell_does_not_reach_a_terminal(cloud: Cloud) -> None:
    name = "\x1b[2J[/bold]\nerror: all is well\x07\u202e"
    cell = cloud.add_cell(name)
    cell.add_instance(project_id=None)

    listed = cellmap_inside(cloud, "cells")
    failed = alembic_inside(cloud, "upgrade", "head", cell=cell.uuid)
    current = cloud.alembic("current", cell="all")

    assert failed.code == 65
    assert len(listed.out.splitlines()) == 2
    for finished in (listed, failed, current):
        lines = (finished.out + finished.err).split("\n")
        assert all(line.isprintable() for line in lines)
    assert "\\x1b[2J[/bold]\\nerror: all is well\\x07\\u202e" in current.out
