"""Two rows of ``cell_mappings`` for one database are found, however they spell it."""

import json
from collections.abc import Iterator
from itertools import permutations, product
from pathlib import Path
from unittest.mock import Mock

import pytest
import sqlalchemy as sa

from cellmap_migrations.databases import mysql_status, urls
from cellmap_migrations.nova import identities
from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.config import text
from cellmap_migrations.testing.servers.postgresql import PostgreSQL
from tests.conftest import MakeCloud
from tests.harness.cloud import Cloud
from tests.harness.inside import alembic_inside, cellmap_inside, last_line
from tests.harness.replicas import Standby, folders_for, serving
from tests.harness.twins import galera_twins, leading_to

COMMANDS = ["upgrade", "upgrade --dry-run", "check", "repair", "repair --dry-run"]


@pytest.fixture
def twins(make_cloud: MakeCloud) -> Iterator[tuple[Cell, Cell]]:
    """Two cells with one database, whose second address is that of a load balancer."""
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.add_instances(3)
    with leading_to(cell) as url:
        yield cell, cloud.add_cell("twin", database=cell, connection=url)


def test_both_cells_of_one_database_are_refused(twins: tuple[Cell, Cell]) -> None:
    cell, twin = twins
    cloud = cell.api
    assert isinstance(cloud, Cloud)

    for command, (one, other) in product(COMMANDS, permutations((cell, twin))):
        finished = cellmap_inside(cloud, *command.split(), "--cell", one.uuid)

        assert finished.code == 78
        assert last_line(finished).startswith(
            f"error: cell {one.name} ({one.uuid}) and cell {other.name} "
            f"({other.uuid}) resolve to one database, "
        )
    assert (cloud.mappings(), cloud.our_tables()) == ({}, set())


def test_status_shows_which_cells_share_a_database(twins: tuple[Cell, Cell]) -> None:
    cloud = twins[0].api
    assert isinstance(cloud, Cloud)
    cloud.add_cell("alone")

    table = cellmap_inside(cloud, "status").out
    found = json.loads(cellmap_inside(cloud, "status", "--output", "json").out)

    shared = {cell["name"]: cell["shared_with"] for cell in found["cells"]}
    assert shared == {"cell1": ["twin"], "twin": ["cell1"], "alone": []}
    assert "same as twin" in table


def test_api_database_behind_another_address_is_refused_as_a_cell(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.url = cloud.url
    with leading_to(cell) as url:
        cloud.lead(cell, url)
        finished = alembic_inside(cloud, "upgrade", "head", cell=cell.uuid)

    assert finished.code == 78
    assert "and the API database resolve to one database" in last_line(finished)


@pytest.mark.only_on("postgresql")
def test_two_schemas_of_one_database_are_two_cells(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    first, second = cloud.add_cell("cell1"), cloud.add_cell("cell2")
    first.add_instances(2)
    with first.engine.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA other")
        connection.exec_driver_sql("CREATE TABLE other.instances (LIKE instances)")
    url = first.url.update_query_dict({"options": "-csearch_path=other"})
    cloud.lead(second, text(url))

    codes = [
        alembic_inside(cloud, "upgrade", "head", cell=name).code
        for name in ("cell1", "cell2")
    ]

    assert codes == [0, 0]


@pytest.mark.only_on("mysql", "postgresql")
def test_cell_that_does_not_answer_does_not_stop_another(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cloud.add_cell("cell1").add_instances(2)
    gone = text(cloud.cells[0].url.set(host="127.0.0.1", port=1))
    cloud.add_cell("gone", connection=gone)

    assert alembic_inside(cloud, "upgrade", "head", cell="cell1").code == 0


@pytest.mark.only_on("mysql")
def test_two_nodes_of_a_galera_cluster_are_one_database(tmp_path: Path) -> None:
    with galera_twins(tmp_path) as (cloud, _, twin):
        finished = alembic_inside(cloud, "upgrade", "head", cell=twin.uuid)

    assert finished.code == 78
    assert "resolve to one database, Galera cluster " in last_line(finished)


@pytest.mark.only_on("postgresql")
def test_physical_copy_is_another_database(tmp_path: Path) -> None:
    with folders_for(2) as [first, second]:
        primary = PostgreSQL(first)
        with serving(primary):
            cloud = Cloud(tmp_path, lambda _: primary, backend="postgresql")
            cell = cloud.add_cell("cell1")
            cell.add_instances(2)
            copy = Standby(second, primary=primary)
            with serving(copy):
                url = text(cell.url.set(port=copy.port))
                cloud.add_cell("copy", database=cell, connection=url)

                finished = alembic_inside(cloud, "upgrade", "head", cell="cell1")

            cloud.close()
    assert finished.code == 0, finished.err


def test_run_says_that_the_database_is_another_one_than_at_the_last_batch(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell, other = cloud.add_cell("cell1"), cloud.add_cell("other")
    uuids = cell.add_instances(2)
    first = alembic_inside(cloud, "upgrade", "head", cell="cell1")
    for uuid in uuids:
        other.add_instance(uuid=uuid)
    before = cloud.journal(cell)[-1]["cell_database"]
    cloud.execute(sa.delete(cloud.tables["cell_mappings"]).filter_by(uuid=other.uuid))
    cloud.lead(cell, text(other.url))
    cellmap_inside(cloud, "reset", "--cell", "cell1")

    again = alembic_inside(cloud, "upgrade", "head", cell="cell1")

    after = cloud.journal(cell)[-1]["cell_database"]
    assert (first.code, first.err, again.code) == (0, "", 0)
    assert again.err == (
        f"warning: cell cell1 ({cell.uuid}): its database is {after}; at the last "
        f"batch it was {before}\n"
    )
    assert after != before


@pytest.mark.parametrize(
    ("one", "other", "may_be"),
    [
        ("mysql+pymysql://db1/nova", "mysql+pymysql://proxy:3307/NOVA", True),
        ("mysql+pymysql://db1/nova", "mysql+pymysql://db1/other", False),
        ("postgresql+psycopg://Nova@db1", "postgresql+psycopg://db2/nova", True),
        ("mysql+pymysql://db1/nova", "postgresql+psycopg://db1/nova", False),
    ],
)
def test_only_databases_of_one_name_are_asked_whether_they_are_one(
    one: str, other: str, *, may_be: bool
) -> None:
    names = {identities.kind_and_name(sa.make_url(url)) for url in (one, other)}

    assert (len(names) == 1) is may_be


def test_host_has_one_name_in_any_case() -> None:
    one, other = map(
        sa.make_url, ("mysql://DB1.Example/nova", "mysql://db1.example/nova")
    )

    assert urls.identity(one) == urls.identity(other)


def test_physical_copy_of_a_mysql_server_is_told_from_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connection = Mock()
    connection.exec_driver_sql.return_value.scalar_one.return_value = "nova"
    found = []
    for port in ("3306", "3307"):
        said = {"server_uuid": "one", "port": port}
        monkeypatch.setattr(mysql_status, "variables", lambda *_, said=said: dict(said))
        found.append(mysql_status.MySQLStatus().identity(connection))
    server, copy = found

    assert server.name == copy.name
    assert not server.same(copy)
