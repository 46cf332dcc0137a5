"""An instance of which no other cell knows gets the expected outcome."""

from datetime import timedelta
from typing import Any

import pytest

from cellmap_migrations.testing.rows import CELL0, LONG_AGO, PROJECT, USER, now
from tests.conftest import MakeCloud
from tests.harness.upgrading import complete, map_cell

# Columns of instances, and the queued_for_delete that follows from them.
QUEUED: list[tuple[dict[str, Any], bool]] = [
    ({}, False),
    ({"vm_state": "soft-delete"}, True),
    ({"deleted": True}, True),
    ({"deleted": None, "vm_state": None}, False),
    # The soft_delete API sets it while the instance may still be restored.
    ({"deleted_at": LONG_AGO}, False),
]


def test_mapping_of_an_instance_has_every_column(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cloud.add_cell("cell0", uuid=CELL0)
    cell = cloud.add_cell("cell1")
    uuid = cell.add_instance()

    ended = map_cell(cloud, cell)

    assert complete(mapped=1) == ended
    [batch] = cloud.journal(cell)
    mapping = cloud.mappings()[uuid]
    assert mapping.cell_id == cell.id
    assert mapping.project_id == PROJECT
    assert mapping.user_id == USER
    assert mapping.queued_for_delete is False
    assert mapping.created_at == LONG_AGO
    assert mapping.updated_at == batch["stamp"]


def test_queued_for_delete_follows_the_state_of_each_instance(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    expected = {cell.add_instance(**columns): queued for columns, queued in QUEUED}

    ended = map_cell(cloud, cell)

    assert complete(mapped=len(QUEUED)) == ended
    mapped = cloud.mappings()
    found = {uuid: mapping.queued_for_delete for uuid, mapping in mapped.items()}
    assert expected == found


def test_instance_without_created_at_is_mapped(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuid = cell.add_instance(created_at=None)

    ended = map_cell(cloud, cell)

    assert complete(mapped=1) == ended
    assert cloud.mappings()[uuid].created_at is None


def test_mapping_to_this_cell_is_left_as_it_is(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuid = cell.add_instance(deleted=True, user_id=None)
    cloud.map(uuid, cell, user_id=None, project_id="another", created_at=None)
    before = cloud.mappings()

    ended = map_cell(cloud, cell)

    assert complete(already=1) == ended
    assert before == cloud.mappings()


@pytest.mark.parametrize("created_at", [LONG_AGO, None], ids=["old", "NULL"])
def test_old_mapping_without_a_cell_is_given_this_one(
    make_cloud: MakeCloud, created_at: object
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuid = cell.add_instance(created_at=created_at)
    cloud.map(uuid, None, updated_at=LONG_AGO)
    before = cloud.mappings()[uuid]

    ended = map_cell(cloud, cell)

    assert complete(filled=1) == ended
    after = cloud.mappings()[uuid]
    assert cell.id == after.cell_id
    assert before.updated_at == after.updated_at


def test_mapping_of_an_instance_in_its_boot_is_left_to_nova(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    young, asked, both = (
        cell.add_instance(created_at=now()),
        cell.add_instance(created_at=now() - timedelta(hours=23), vm_state="building"),
        cell.add_instance(created_at=now() - timedelta(seconds=500)),
    )
    for uuid in (young, asked, both):
        cloud.map(uuid, None)
    for uuid in (asked, both):
        cloud.request_build(uuid)

    ended = map_cell(cloud, cell)

    assert complete(in_flight=3) == ended
    assert set() == cloud.mapped_uuids(cell)


def test_grace_seconds_decide_which_instance_is_old(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    older = cell.add_instance(created_at=now() - timedelta(seconds=100))
    younger = cell.add_instance(created_at=now())
    for uuid in (older, younger):
        cloud.map(uuid, None)

    ended = map_cell(cloud, cell, grace_seconds="90")

    assert complete(filled=1, in_flight=1) == ended
    assert {older} == cloud.mapped_uuids(cell)


def test_hidden_copy_is_left_to_the_resize_that_hid_it(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell, other = cloud.add_cell("cell1"), cloud.add_cell("cell2")
    unmapped = cell.add_instance(hidden=True)
    source = other.add_instance()
    cell.add_instance(uuid=source, hidden=True)
    cloud.map(source, other)
    shown = cell.add_instance(hidden=None)

    ended = map_cell(cloud, cell)

    assert complete(hidden=2, mapped=1) == ended
    assert {shown} == cloud.mapped_uuids(cell)
    assert unmapped not in cloud.mappings()
    assert {source} == cloud.mapped_uuids(other)


def test_placeholder_of_novas_virtual_interfaces_is_not_mapped(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.add_instance(uuid=CELL0, project_id=CELL0, user_id=None, deleted=True)

    ended = map_cell(cloud, cell)

    assert complete(placeholder=1) == ended
    assert cloud.mappings() == {}
