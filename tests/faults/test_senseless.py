"""Rows and commands that make no sense: each is named, and none stops the others."""

import json

import pytest

from cellmap_migrations.testing.config import text
from cellmap_migrations.testing.rows import CELL0, USER
from tests.conftest import MakeCloud
from tests.harness.cloud import Cloud
from tests.harness.inside import alembic_inside
from tests.harness.results import named, repair


def test_flag_of_a_deleted_copy_does_not_stay_on_the_live_one(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell0, cell = cloud.add_cell("cell0", uuid=CELL0), cloud.add_cell("cell1")
    uuid = cell0.add_instance(deleted=True)
    cell.add_instance(uuid=uuid)

    finished = alembic_inside(cloud, "upgrade", "head", cell="all")

    mapping = cloud.mappings()[uuid]
    assert (finished.code, mapping.cell_id) == (0, cell.id)
    assert mapping.queued_for_delete is False


def test_null_flag_of_an_instance_that_is_stuck_is_decided(cloud: Cloud) -> None:
    cell = cloud.add_cell("cell1")
    stuck = cell.add_instance(vm_state="soft-delete", task_state="deleting")
    restored = cell.add_instance(vm_state="soft-delete", task_state="restoring")
    cloud.map_to(cell.id, [stuck, restored], queued_for_delete=None)

    finished = alembic_inside(cloud, "upgrade", "head", cell="cell1")

    flags = {row.queued_for_delete for row in cloud.mappings().values()}
    assert (finished.code, flags) == (0, {True})


@pytest.mark.only_on("mysql", "postgresql")
def test_cell_deleted_while_it_is_mapped_ends_the_run(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.add_instances(50)
    running = cloud.start_frozen(
        "before INSERT INTO instance_mappings #1", cell="cell1", x={"on_reject": "skip"}
    )
    cloud.execute(cloud.tables["cell_mappings"].delete())
    running.thaw()

    finished = running.wait()

    assert (finished.code, cloud.versions()) == (78, {})
    assert "was deleted from cell_mappings" in finished.err


def test_mapping_that_nova_saved_in_the_second_of_a_stamp_survives_a_downgrade(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    novas, ours = cell.add_instance(), cell.add_instance()
    cloud.map(novas, cell)
    alembic_inside(cloud, "upgrade", "head", cell="cell1")
    cloud.remap(novas, updated_at=cloud.journal(cell)[0]["stamp"])

    x = {"remove_mappings": "yes"}
    finished = alembic_inside(cloud, "downgrade", "base", cell="cell1", x=x)

    assert (finished.code, set(cloud.mappings())) == (0, {novas})
    assert ours not in cloud.mappings()


@pytest.mark.parametrize(
    "command",
    [("downgrade", "nosuch"), ("downgrade", "-7"), ("stamp", "0001", "0002")],
    ids=" ".join,
)
def test_target_that_does_not_exist_is_refused(
    cloud: Cloud, command: tuple[str, ...]
) -> None:
    cell = cloud.add_cell("cell1")
    alembic_inside(cloud, "upgrade", "head", cell="cell1")

    finished = alembic_inside(cloud, *command, cell="cell1")

    assert (finished.code, len(finished.err.splitlines())) == (78, 1)
    assert cloud.versions() == {cell.uuid: "0003"}


def test_version_can_be_purged(cloud: Cloud) -> None:
    cloud.add_cell("cell1")
    alembic_inside(cloud, "upgrade", "head", cell="cell1")

    finished = alembic_inside(cloud, "stamp", "--purge", "base", cell="cell1")

    assert (finished.code, cloud.versions()) == (0, {})


def test_orphan_that_lives_in_another_cell_is_left_and_named(cloud: Cloud) -> None:
    cell, other = cloud.add_cell("cell1"), cloud.add_cell("other")
    uuid, here = other.add_instance(), cell.add_instance()
    cloud.map_to(cell.id, [uuid, here])

    finished = repair(cloud)

    assert named(finished, "left") == {"orphan": {uuid}}
    assert f"live in other ({other.uuid})" in finished.err
    assert cloud.mappings().keys() == {uuid, here}


def test_row_that_cannot_be_mended_does_not_keep_others_from_it(cloud: Cloud) -> None:
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(40)
    cloud.map_to(cell.id, uuids, user_id=None)
    with cloud.engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER refuse BEFORE UPDATE ON instance_mappings "
            f"WHEN NEW.instance_uuid = '{uuids[7]}' "
            "BEGIN SELECT RAISE(ABORT, 'not this one'); END"
        )

    finished = repair(cloud)

    users = {uuid: row.user_id for uuid, row in cloud.mappings().items()}
    assert users == dict.fromkeys(uuids, USER) | {uuids[7]: None}
    assert "not this one" in finished.err


@pytest.mark.only_on("mysql")
def test_date_of_zeros_stops_nothing(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuid = cell.add_instance()
    cloud.map(uuid, None)
    with cell.engine.begin() as connection:
        connection.exec_driver_sql("SET SESSION sql_mode = ''")
        connection.exec_driver_sql("UPDATE instances SET created_at = '0000-00-00'")

    finished = alembic_inside(cloud, "upgrade", "head", cell="cell1")

    assert (finished.code, cloud.mapped_uuids(cell)) == (0, {uuid})


def test_instances_before_the_first_id_are_mapped_too(cloud: Cloud) -> None:
    cell = cloud.add_cell("cell1")
    uuids = {cell.add_instance(id=-5), cell.add_instance(id=0), cell.add_instance()}

    finished = alembic_inside(cloud, "upgrade", "head", cell="cell1")

    assert (finished.code, cloud.mapped_uuids(cell)) == (0, uuids)


def test_instance_behind_a_wide_hole_in_the_ids_is_compared(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.add_instances(50)
    far = cell.add_instance(id=900_000_000)
    cloud.map_to(cell.id, cell.uuids()[:-1])

    finished = alembic_inside(cloud, "check", cell="cell1", x={"output": "json"})

    assert (finished.code, finished.err.count(far)) == (3, 0), finished.err
    assert json.loads(finished.out)["differences"]["unmapped"]["uuids"] == [far]


def test_password_among_the_arguments_of_a_url_is_not_shown(
    make_cloud: MakeCloud, backend: str
) -> None:
    cloud = make_cloud()
    cloud.add_cell("cell1")
    if backend != "sqlite":
        url = cloud.url
        moved = url.set(password=None).update_query_dict(
            {"password": str(url.password)}
        )
        cloud.configure(api_database={"connection": text(moved)})

    finished = cloud.alembic("current", "-v", cell="cell1")

    assert finished.code == 0


def test_url_given_for_a_cell_is_masked(cloud: Cloud) -> None:
    cloud.add_cell("cell1")
    pasted = "mysql+pymysql://root:topsecret@db/nova"

    text_run = alembic_inside(cloud, "current", cell=pasted)
    json_run = alembic_inside(cloud, "current", cell=pasted, x={"output": "json"})

    assert (text_run.code, json_run.code) == (78, 78)
    assert "topsecret" not in text_run.err + json_run.out + json_run.err
