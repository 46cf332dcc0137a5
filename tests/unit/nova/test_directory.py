"""A selector finds its cell and its database, or is refused before a write."""

import pytest
import sqlalchemy as sa

from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.config import text
from cellmap_migrations.testing.process import Finished
from cellmap_migrations.testing.rows import CELL0
from tests.conftest import MakeCloud
from tests.harness.cloud import Cloud
from tests.harness.inside import alembic_inside


def map_found(cloud: Cloud, cell: str, **x: str) -> Finished:
    return alembic_inside(cloud, "upgrade", "0001", cell=cell, x=x)


def refused(cloud: Cloud, cell: str, code: int = 78) -> str:
    """Return the error of an upgrade that writes nothing."""
    finished = map_found(cloud, cell)
    assert (finished.code, finished.out) == (code, "")
    assert cloud.our_tables() == set()
    return finished.err.splitlines()[-1]


@pytest.fixture
def cells(cloud: Cloud) -> list[Cell]:
    """cell0, whose connection is not [database]'s, and two more."""
    local = cloud.add_cell("cell1")
    return [cloud.add_cell("cell0", uuid=CELL0), local, cloud.add_cell("cell2")]


def test_cell_is_found_by_uuid_by_name_and_as_the_local_one(
    cloud: Cloud, cells: list[Cell]
) -> None:
    selectors = [cells[1].uuid, cells[1].uuid.upper(), "cell1", "local"]

    codes = [map_found(cloud, selector).code for selector in selectors]

    assert codes == [0, 0, 0, 0]
    assert cloud.versions() == {cells[1].uuid: "0001"}


def test_cell0_is_a_cell_like_others(cloud: Cloud, cells: list[Cell]) -> None:
    uuid = cells[0].add_instance()

    finished = map_found(cloud, CELL0)

    assert finished.code == 0
    assert {uuid} == cloud.mapped_uuids(cells[0])


def test_disabled_cell_is_mapped(cloud: Cloud) -> None:
    cell = cloud.add_cell("cell1", disabled=True)
    uuid = cell.add_instance()

    assert map_found(cloud, "cell1").code == 0
    assert {uuid} == cloud.mapped_uuids(cell)


def test_all_means_every_cell(cloud: Cloud, cells: list[Cell]) -> None:
    expected = {cell.uuid: cell.add_instances(2) for cell in cells}

    finished = map_found(cloud, "all")

    assert finished.code == 0
    assert len(finished.out.splitlines()) == len(cells)
    for cell in cells:
        assert set(expected[cell.uuid]) == cloud.mapped_uuids(cell)


def test_cell_that_fails_does_not_stop_the_rest_and_the_gravest_code_wins(
    cloud: Cloud, cells: list[Cell]
) -> None:
    lost = cloud.add_cell("lost", connection=None)
    cells[0].add_instance(project_id=None)
    last = cloud.add_cell("cell4")
    uuid = last.add_instance()

    finished = map_found(cloud, "all")

    assert finished.code == 78
    assert {uuid} == cloud.mapped_uuids(last)
    assert finished.err.splitlines()[-1].startswith(f"error: cell lost ({lost.uuid})")
    assert cloud.versions().keys() == {cells[1].uuid, cells[2].uuid, last.uuid}


def test_cell_that_is_not_there_yet_can_be_skipped(cloud: Cloud) -> None:
    finished = map_found(cloud, "cell9", missing="skip")

    assert (finished.code, finished.out) == (0, "")
    assert finished.err.startswith("nothing to do: no cell 'cell9'")


def test_two_cells_with_one_database_are_refused(cloud: Cloud) -> None:
    cell = cloud.add_cell("cell1")
    twin = cloud.add_cell("twin", database=cell)

    for ours, other in ((cell, twin), (twin, cell)):
        start = f"error: cell {ours.name} ({ours.uuid}) and cell {other.name} ("
        assert refused(cloud, ours.uuid).startswith(start)


def test_two_templates_that_expand_to_one_database_are_refused(cloud: Cloud) -> None:
    cell = cloud.add_cell("cell1")
    cloud.add_cell("twin", connection="{scheme}:////{path}")

    assert "resolve to one database" in refused(cloud, cell.uuid)


def test_api_database_is_refused_as_a_cell(cloud: Cloud) -> None:
    cell = cloud.add_cell("cell1", connection=text(cloud.url))

    assert f"cell cell1 ({cell.uuid}) and the API database resolve" in refused(
        cloud, cell.uuid
    )


def test_database_without_instances_is_refused(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.instances.drop(cell.engine)

    assert "so it is no nova cell database" in refused(cloud, cell.uuid)


def test_instances_without_a_column_are_refused(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    with cell.engine.begin() as connection:
        sql = "ALTER TABLE instances RENAME COLUMN vm_state TO state"
        connection.exec_driver_sql(sql)

    assert " lacks instances.vm_state, so " in refused(cloud, cell.uuid)


def test_cell_database_is_refused_as_the_api_database(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cloud.configure(api_database={"connection": text(cell.url)})

    line = refused(cloud, cell.uuid)

    assert " lacks table cell_mappings, so it is no nova API database" in line
    assert not sa.inspect(cell.engine).has_table("cellmap_version")


def test_database_that_does_not_exist_is_refused(
    make_cloud: MakeCloud, backend: str
) -> None:
    cloud = make_cloud()
    url = text(cloud.url.set(database=f"{cloud.url.database}_gone"))
    cell = cloud.add_cell("cell1", connection=url)

    # MariaDB tells only those who may use a database whether it is there.
    code = 77 if backend == "mysql" else 78
    assert f"error: cell cell1 ({cell.uuid}) (" in refused(cloud, cell.uuid, code)


@pytest.mark.parametrize("live", [10, 30])
def test_copy_of_another_cell_is_refused(cloud: Cloud, live: int) -> None:
    cell, other = cloud.add_cell("cell1"), cloud.add_cell("cell2")
    for uuid in other.add_instances(live):
        cell.add_instance(uuid=uuid)
    cloud.map_to(other.id, other.uuids())

    line = refused(cloud, cell.uuid, 65)

    assert line == (
        f"error: cell cell1 ({cell.uuid}) looks like a copy of cell2 ({other.uuid}): "
        f"of {live} live instances looked at, {live} are mapped to cell2 "
        f"({other.uuid}) and live there too. Nothing was written; correct "
        "database_connection of the wrong one"
    )


def test_cell_that_was_emptied_into_this_one_is_no_original(cloud: Cloud) -> None:
    cell, other = cloud.add_cell("cell1"), cloud.add_cell("cell2")
    uuids = cell.add_instances(20)
    cloud.map_to(other.id, uuids)

    refused_first = map_found(cloud, "cell1").code
    accepted = map_found(cloud, "cell1", accept_orphans="20").code

    assert (refused_first, accepted) == (65, 0)
    assert set(uuids) == cloud.mapped_uuids(cell)
