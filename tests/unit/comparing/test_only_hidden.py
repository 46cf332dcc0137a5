"""A mapping whose server is nowhere but in the hidden copy of another cell."""

import json
from typing import Any

import pytest

from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.process import Finished
from tests.conftest import MakeCloud
from tests.harness import readme
from tests.harness.cloud import Cloud
from tests.harness.inside import cellmap_inside
from tests.harness.upgrading import complete, map_cell

TITLE = "The only copy of a server is hidden"

PAGE = readme.section(readme.DOCS / "troubleshooting.rst", TITLE)

UUID = "9c1d7f0a-5a1e-4c59-8d6b-7e2f4b8a6c22"

OUTCOME = {"check": "differences", "repair": "left_differences"}

Cells = tuple[Cloud, Cell, Cell]


@pytest.fixture
def cells(make_cloud: MakeCloud) -> Cells:
    """A cloud, the cell that the mapping names, and the cell of the hidden copy."""
    cloud = make_cloud()
    hiding, named = cloud.add_cell("cell1"), cloud.add_cell("cell2")
    for cell in (named, hiding):
        cloud.map(cell.add_instance(), cell)
    hiding.add_instance(uuid=UUID, hidden=True)
    cloud.map(UUID, named)
    return cloud, named, hiding


def look(
    cloud: Cloud, command: str, cell: Cell, *options: str
) -> tuple[Finished, dict[str, Any]]:
    """Run check or repair; return how it ended, and the reasons of what it left."""
    arguments = ["--cell", cell.uuid, "--output", "json", *options]
    finished = cellmap_inside(cloud, command, *arguments)
    found = json.loads(finished.out)[OUTCOME[command]]
    return finished, {kind: listed["why"] for kind, listed in found.items()}


def test_cell_that_is_named_says_which_cell_hides_the_copy(cells: Cells) -> None:
    cloud, named, hiding = cells
    before = cloud.mappings()
    why = f"last copy, hidden in cell1 ({hiding.uuid}): see docs/troubleshooting.rst"

    checked, differ = look(cloud, "check", named)
    dry, would_leave = look(cloud, "repair", named, "--dry-run")
    repaired, left = look(cloud, "repair", named)

    assert (checked.code, dry.code, repaired.code) == (3, 65, 65)
    assert differ == would_leave == left == {"only_hidden": [why]}
    assert json.loads(dry.out)["mended_differences"] == {}
    assert cloud.mappings() == before


def test_cell_that_hides_the_copy_has_nothing_to_do(cells: Cells) -> None:
    cloud, _, hiding = cells
    before = cloud.mappings()

    checked, differ = look(cloud, "check", hiding)
    repaired, left = look(cloud, "repair", hiding)

    assert (checked.code, repaired.code, differ, left) == (0, 0, {}, {})
    assert cloud.mappings() == before


def test_upgrade_of_either_cell_ends_well_and_keeps_the_mapping(cells: Cells) -> None:
    cloud, named, hiding = cells
    before = cloud.mappings()

    assert complete(already=1) == map_cell(cloud, named)
    assert complete(already=1, hidden=1) == map_cell(cloud, hiding)
    assert cloud.mappings() == before


def test_upgrade_keeps_a_mapping_of_ours_that_is_queued_for_deletion(
    cells: Cells,
) -> None:
    cloud, named, hiding = cells
    uuid = named.add_instance()
    map_cell(cloud, named)
    hiding.add_instance(uuid=uuid, hidden=True)
    named.move_to_shadow(uuid)
    cloud.remap(uuid, queued_for_delete=True)
    cellmap_inside(cloud, "reset", "--cell", "cell2")

    ended = map_cell(cloud, named)

    assert (ended.code, ended.result["removed"]) == (0, 0)
    assert uuid in cloud.mappings()


def test_copy_that_is_visible_in_a_third_cell_is_not_the_last(cells: Cells) -> None:
    cloud, named, _ = cells
    third = cloud.add_cell("cell3")
    third.add_instance(uuid=UUID)

    repaired, left = look(cloud, "repair", named)

    why = f"live in cell3 ({third.uuid}); upgrade or repair that cell"
    assert (repaired.code, left) == (0, {"orphan": [why]})


@pytest.mark.parametrize("deleted", [False, True], ids=["live", "deleted"])
def test_commands_of_the_page_bring_the_server_back(
    cells: Cells, *, deleted: bool
) -> None:
    cloud, named, hiding = cells
    hiding.update(UUID, deleted=hiding.instances.c.id if deleted else 0)
    [statement] = readme.sql("Cell database: hidden copy of a server")
    commands = [line.split() for line in readme.commands(PAGE)]

    with hiding.engine.begin() as connection:
        connection.exec_driver_sql(statement)
    codes = [
        cellmap_inside(cloud, *words[1:]).code
        for words in commands
        if words[0] == "cellmap"
    ]

    assert codes == [0, 0]
    assert cloud.mappings()[UUID].cell_id == hiding.id != named.id
    assert [words for words in commands if words[0] != "cellmap"] == [
        ["openstack", "server", "show", UUID]
    ]
