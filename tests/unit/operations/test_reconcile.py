"""Revisions 0002 and 0003 make a column agree with the cell."""

import json

import pytest

from cellmap_migrations.testing.rows import USER
from tests.conftest import MakeCloud


def test_wrong_false_flags_of_migration_061_become_true(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    live = cell.add_instances(2)
    gone = [cell.add_instance(deleted=True), cell.add_instance(vm_state="soft-delete")]
    cloud.map_to(cell.id, live + gone, queued_for_delete=False)

    finished = cloud.alembic("upgrade", "head", cell="cell1", x={"output": "json"})

    assert (finished.code, json.loads(finished.out)["mended"]) == (0, 2)
    flags = {uuid: row.queued_for_delete for uuid, row in cloud.mappings().items()}
    assert flags == dict.fromkeys(live, False) | dict.fromkeys(gone, True)


def test_null_flags_are_decided(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    live, gone = cell.add_instance(), cell.add_instance(deleted=True)
    cloud.map_to(cell.id, [live, gone], queued_for_delete=None)

    finished = cloud.alembic("upgrade", "head", cell="cell1")

    flags = {uuid: row.queued_for_delete for uuid, row in cloud.mappings().items()}
    assert (finished.code, flags) == (0, {live: False, gone: True})


def test_users_are_filled_in_where_nova_gives_up(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    nobody = [cell.add_instance(deleted=True, user_id=None) for _ in range(60)]
    somebody = cell.add_instances(60)
    cloud.map_to(cell.id, nobody, user_id=None, queued_for_delete=True)
    cloud.map_to(cell.id, somebody, user_id=None)

    finished = cloud.alembic("upgrade", "head", cell="cell1")

    users = {uuid: row.user_id for uuid, row in cloud.mappings().items()}
    assert users == dict.fromkeys(nobody) | dict.fromkeys(somebody, USER)
    assert (finished.code, cloud.versions()) == (0, {cell.uuid: "0003"})


def test_user_of_a_mapping_survives_where_the_cell_has_none(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuid = cell.add_instance(user_id=None)
    cloud.map(uuid, cell)

    finished = cloud.alembic("upgrade", "head", cell="cell1")

    assert (finished.code, cloud.mappings()[uuid].user_id) == (0, USER)


def test_fresh_cell_needs_no_batch_of_0002_and_0003(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.add_instances(50)
    cell.add_instance(deleted=True)

    cloud.alembic("upgrade", "head", cell="cell1")

    assert {row["revision"] for row in cloud.journal(cell)} == {"0001"}


@pytest.mark.parametrize(
    ("release", "reached", "column"),
    [
        ("liberty", "0001", "queued_for_delete"),
        ("rocky", "0002", "user_id"),
    ],
)
def test_revision_stops_where_the_schema_lacks_its_column(
    make_cloud: MakeCloud, release: str, reached: str, column: str
) -> None:
    cloud = make_cloud(release=release)
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(20)

    finished = cloud.alembic("upgrade", "head", cell="cell1")

    assert (finished.code, cloud.versions()) == (78, {cell.uuid: reached})
    assert f"instance_mappings.{column}" in finished.err
    assert cloud.mapped_uuids(cell) == set(uuids)
