"""The uuids of mappings are compared as the collation of their column says."""

import json

import pytest

from cellmap_migrations.testing.cell import Cell
from tests.conftest import MakeCloud
from tests.harness.cloud import Cloud

pytestmark = pytest.mark.only_on("mysql")

IGNORES_CASE, SEES_CASE = "utf8mb3_general_ci", "utf8mb3_bin"


def collated(
    make_cloud: MakeCloud, collation: str
) -> tuple[Cloud, Cell, set[str], str]:
    """Return a cloud with one mapping in upper case, and two as they should be."""
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cloud.sql(
        "ALTER TABLE instance_mappings MODIFY instance_uuid VARCHAR(36) "
        f"CHARACTER SET utf8mb3 COLLATE {collation} NOT NULL"
    )
    uuid = cell.add_instance(uuid="abcdef12-0000-4000-8000-00000000abcd")
    cloud.map(uuid.upper(), cell)
    others = cell.add_instances(2)
    cloud.map_to(cell.id, others)
    return cloud, cell, {*others}, uuid


@pytest.mark.parametrize("collation", [IGNORES_CASE, SEES_CASE])
def test_upgrade_maps_what_nova_does_not_find(
    make_cloud: MakeCloud, collation: str
) -> None:
    cloud, cell, others, uuid = collated(make_cloud, collation)

    finished = cloud.alembic("upgrade", "head", cell=cell.uuid, x={"output": "json"})

    found = json.loads(finished.out)
    inserted = {uuid} if collation == SEES_CASE else set()
    assert (finished.code, found["mapped"]) == (0, len(inserted))
    assert cloud.mappings().keys() == {uuid.upper(), *inserted, *others}


@pytest.mark.parametrize("collation", [IGNORES_CASE, SEES_CASE])
def test_repair_leaves_one_mapping_in_the_spelling_of_the_cell(
    make_cloud: MakeCloud, collation: str
) -> None:
    cloud, cell, others, uuid = collated(make_cloud, collation)

    differs = cloud.cellmap("check", "--cell", cell.uuid)
    repaired = cloud.cellmap("repair", "--cell", cell.uuid)

    assert (differs.code, repaired.code) == (3, 0)
    assert cloud.mappings().keys() == {uuid, *others}
    assert cloud.cellmap("check", "--cell", cell.uuid).code == 0
