"""``cellmap repair`` mends what is safe, says what it did, and leaves the rest."""

import json
from datetime import timedelta

import pytest

from cellmap_migrations.testing.rows import LONG_AGO, now
from tests.conftest import MakeCloud
from tests.harness.results import differences, named, repair


def test_everything_that_is_safe_is_mended_and_check_passes(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell, other = cloud.add_cell("cell1"), cloud.add_cell("other")
    unmapped, no_cell, wrong, flag, null, user, nobody = cell.add_instances(7)
    cloud.map(no_cell, None)
    cloud.map(wrong, other)
    cell.update(flag, deleted=cell.instances.c.id)
    cloud.map(flag, cell, queued_for_delete=False)
    cloud.map(null, cell, queued_for_delete=None)
    cloud.map(user, cell, user_id="another")
    cloud.map(nobody, cell, user_id=None)
    soft = cell.add_instance(vm_state="soft-delete")
    cloud.map(soft, cell, queued_for_delete=False)
    orphan = "11111111-2222-4333-8444-555555555555"
    cloud.map(orphan, cell)

    finished = repair(cloud)

    assert (finished.code, named(finished, "left")) == (0, {})
    assert named(finished, "mended") == {
        "unmapped": {unmapped},
        "no_cell": {no_cell},
        "wrong_cell": {wrong},
        "orphan": {orphan},
        "queued_for_delete": {flag, null, soft},
        "user_id": {user, nobody},
    }
    assert differences(cloud.alembic("check", cell="cell1", x={"output": "json"})) == {}


def test_mapping_that_is_inserted_has_the_time_of_its_instance(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    uuid = cloud.add_cell("cell1").add_instance()

    finished = repair(cloud)

    assert (finished.code, cloud.mappings()[uuid].created_at) == (0, LONG_AGO)


def test_what_an_operator_must_decide_is_left_and_named(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell, other = cloud.add_cell("cell1"), cloud.add_cell("other")
    twice, project = cell.add_instances(2)
    other.add_instance(uuid=twice)
    cloud.map(twice, other)
    cloud.map(project, cell, project_id="another")
    rejected = cell.add_instance(project_id=None)
    before = cloud.mappings()

    finished = repair(cloud)

    assert finished.code == 65
    assert named(finished, "left") == {
        "conflict": {twice},
        "project_id": {project},
        "rejected": {rejected},
    }
    assert cloud.mappings() == before


def test_true_flag_of_a_live_instance_is_never_cleared(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    queued = cell.add_instance()
    cloud.map(queued, cell, queued_for_delete=True)

    finished = repair(cloud)

    assert (finished.code, named(finished, "left")) == (0, {"queued": {queued}})
    assert cloud.mappings()[queued].queued_for_delete is True


def test_flag_of_an_instance_being_restored_is_left_to_nova(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    restored = cell.add_instance(vm_state="soft-delete", task_state="restoring")
    cloud.map(restored, cell, queued_for_delete=False)

    finished = repair(cloud)

    assert (finished.code, named(finished, "mended")) == (0, {})
    assert cloud.mappings()[restored].queued_for_delete is False


def test_dry_run_says_the_same_and_writes_nothing_at_all(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    unmapped, flag = cell.add_instances(2)
    cell.update(flag, deleted=cell.instances.c.id)
    cloud.map(flag, cell, queued_for_delete=False)
    before = cloud.mappings()

    finished = repair(cloud, "--dry-run")

    assert named(finished, "mended") == {
        "unmapped": {unmapped},
        "queued_for_delete": {flag},
    }
    assert cloud.mappings() == before
    assert cloud.rows("cellmap_journal") == []


def test_young_orphans_and_those_being_built_are_left(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    young = "11111111-2222-4333-8444-555555555555"
    cloud.map(young, cell, created_at=LONG_AGO, updated_at=now())
    built = "21111111-2222-4333-8444-555555555555"
    cloud.map(built, cell)
    cloud.request_build(built)
    others = cell.add_instances(2)
    cloud.map_to(cell.id, others)

    finished = repair(cloud)

    assert named(finished, "left") == {"orphan": {young, built}}
    assert cloud.mappings().keys() == {young, built, *others}


@pytest.mark.parametrize("options", [(), ("--dry-run",)], ids=["repair", "dry run"])
def test_repair_says_until_when_it_leaves_an_orphan(
    make_cloud: MakeCloud, options: tuple[str, ...]
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cloud.map_to(cell.id, cell.add_instances(2))
    young = "11111111-2222-4333-8444-555555555555"
    touched = now()
    cloud.map(young, cell, created_at=LONG_AGO, updated_at=touched)
    built = "21111111-2222-4333-8444-555555555555"
    cloud.map(built, cell)
    cloud.request_build(built)

    finished = repair(cloud, *options)

    end = touched + timedelta(seconds=600)
    assert finished.code == 0
    assert f"{young}  its mapping is younger than grace_seconds (600)" in finished.err
    assert f"left until {end:%Y-%m-%d %H:%M:%S} UTC" in finished.err
    assert f"{built}  nova has build request 1 for it" in finished.err
    assert named(finished, "mended") == {}


def test_stale_marker_of_map_instances_is_removed_and_a_fresh_one_left(
    make_cloud: MakeCloud,
) -> None:
    marker = "INSTANCE_MIGRATION_MARKER"
    cloud = make_cloud()
    cloud.add_cell("cell1")
    stale, fresh = "11111111 2222 4333 8444 555555555555", "2" * 8
    an_hour_ago = now() - timedelta(hours=1)
    columns = {"project_id": marker, "user_id": marker}
    cloud.map(stale, None, created_at=an_hour_ago, **columns)
    cloud.map(fresh, None, created_at=now(), **columns)

    finished = repair(cloud)

    assert (finished.code, json.loads(finished.out)["markers"]) == (0, 1)
    assert cloud.mappings().keys() == {fresh}


def test_mapping_in_upper_case_is_spelled_as_the_cell_does(
    make_cloud: MakeCloud, backend: str
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuid, other = cell.add_instances(2)
    cloud.map(uuid.upper(), cell)
    cloud.map(other, cell)

    finished = repair(cloud)

    # PostgreSQL and SQLite see two uuids: one unmapped, the other without instance.
    inserted = 0 if backend == "mysql" else 1
    assert (finished.code, json.loads(finished.out)["mapped"]) == (0, inserted)
    assert cloud.mappings().keys() == {uuid, other}


def test_updated_at_stays_where_repair_changes_a_row(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell, other = cloud.add_cell("cell1"), cloud.add_cell("other")
    uuids = cell.add_instances(3)
    cloud.map(uuids[0], None, updated_at=LONG_AGO)
    cloud.map(uuids[1], other, updated_at=LONG_AGO)
    cloud.map(uuids[2], cell, updated_at=LONG_AGO, user_id=None)

    repair(cloud)

    assert {row.updated_at for row in cloud.mappings().values()} == {LONG_AGO}
    assert cloud.mapped_uuids(cell) == set(uuids)


def test_repairs_are_in_the_journal(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.add_instances(5)
    cloud.map("11111111-2222-4333-8444-555555555555", cell)
    cloud.map(cell.add_instance(), cell, user_id=None)

    repair(cloud)

    entries = [row for row in cloud.journal(cell) if row["revision"] == "repair"]
    sums = {name: sum(row[name] for row in entries) for name in ("mapped", "mended")}
    assert sums == {"mapped": 5, "mended": 1}
    assert sum(row["removed"] for row in entries) == 1


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_mapping_of_an_instance_that_was_archived_behind_a_repair_is_removed_at_once(
    make_cloud: MakeCloud, options: tuple[str, ...]
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    archived = cell.add_instance(deleted=True)
    repair(cloud)
    cell.move_to_shadow(archived)

    finished = repair(cloud, *options)

    assert (finished.code, named(finished, "left")) == (0, {})
    assert named(finished, "mended") == {"orphan": {archived}}
    assert (archived in cloud.mappings()) == bool(options)
