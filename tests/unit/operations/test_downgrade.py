"""Downgrade takes back exactly what 0001 inserted, and nothing of nova's."""

from datetime import timedelta
from signal import SIGKILL

import pytest

from cellmap_migrations.testing.process import Finished
from cellmap_migrations.testing.rows import now
from tests.conftest import MakeCloud
from tests.harness.cloud import Cloud
from tests.harness.inside import alembic_inside, cellmap_inside, upgrade

REMOVE = {"remove_mappings": "yes"}


def downgrade(cloud: Cloud) -> Finished:
    """Downgrade cell1 to its base."""
    return cloud.alembic("downgrade", "base", cell="cell1", x=REMOVE)


def test_upgrade_downgrade_upgrade_leaves_every_row_that_was_there(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell, other = cloud.add_cell("cell1"), cloud.add_cell("other")
    cell.add_instances(2500)
    cell.add_instance(created_at=None)
    cloud.map_to(cell.id, cell.add_instances(300))
    cloud.map_to(other.id, other.add_instances(200))
    before = cloud.rows("instance_mappings")
    cloud.alembic("upgrade", "head", cell="cell1")
    mapped = cloud.mapped_uuids(cell)

    taken_back = downgrade(cloud)
    after = cloud.rows("instance_mappings")
    again = cloud.alembic("upgrade", "head", cell="cell1")

    assert (taken_back.code, again.code) == (0, 0)
    assert after == before
    assert cloud.mapped_uuids(cell) == mapped


def test_rows_that_nova_changed_or_made_since_are_left(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    changed, untouched = cell.add_instances(2)
    cloud.alembic("upgrade", "head", cell="cell1")
    cloud.remap(changed, queued_for_delete=True, updated_at=now() + timedelta(hours=1))
    stamp = cloud.journal(cell)[0]["stamp"]
    booted = cell.add_instance(created_at=stamp)
    cloud.map(booted, cell, created_at=stamp, updated_at=stamp)

    finished = downgrade(cloud)

    assert finished.code == 0
    assert cloud.mappings().keys() == {changed, booted}
    assert untouched not in cloud.mappings()


def test_filled_and_moved_mappings_are_left(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell, other = cloud.add_cell("cell1"), cloud.add_cell("other")
    filled, moved, new = cell.add_instances(3)
    cloud.map(filled, None)
    cloud.map(moved, other)
    cloud.alembic("upgrade", "head", cell="cell1")

    downgrade(cloud)

    assert cloud.mapped_uuids(cell) == {filled, moved}
    assert new not in cloud.mappings()


def test_downgrade_without_leave_is_refused(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(3)
    cloud.alembic("upgrade", "head", cell="cell1")

    codes = [cloud.alembic("downgrade", to, cell="cell1").code for to in ("base", "-3")]

    assert (codes, cloud.mapped_uuids(cell)) == ([78, 78], set(uuids))
    assert cloud.versions() == {cell.uuid: "0003"}


def test_downgrade_killed_half_way_goes_on(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.add_instances(400)
    cloud.alembic("upgrade", "head", cell="cell1")
    cloud.configure(cellmap={"batch_rows_max": 100, "batch_rows_min": 100})
    killed = cloud.start_cellmap_until(
        "after DELETE FROM instance_mappings #3",
        SIGKILL,
        *("downgrade", "--cell", "cell1", "--remove-mappings", "base"),
    ).wait()
    left = len(cloud.mappings())

    finished = downgrade(cloud)

    assert (killed.code, left) == (-SIGKILL, 200)
    assert (finished.code, cloud.mappings(), cloud.versions()) == (0, {}, {})


def test_reset_walks_again_and_removes_nothing(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(30)
    cloud.alembic("upgrade", "head", cell="cell1")
    cloud.unmap(uuids[0])

    reset = cloud.cellmap("reset", "--cell", "cell1")
    forgotten = cloud.versions()
    finished = cloud.alembic("upgrade", "head", cell="cell1")

    assert (reset.code, forgotten, finished.code) == (0, {}, 0)
    assert cloud.mapped_uuids(cell) == set(uuids)
    assert cloud.journal(cell)[-1]["already"] == 29


def test_mappings_inserted_before_a_reset_can_still_be_taken_back(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.add_instances(30)
    cloud.alembic("upgrade", "head", cell="cell1")
    cloud.cellmap("reset", "--cell", "cell1")
    cloud.alembic("upgrade", "head", cell="cell1")

    downgrade(cloud)

    assert cloud.mappings() == {}


def stopped_half_way(cloud: Cloud) -> set[str]:
    """Map 20 of 30 new servers of cell1, one was mapped before; return the latter."""
    cell = cloud.add_cell("cell1")
    cloud.map_to(cell.id, nova := cell.add_instances(1))
    cell.add_instances(30)
    x = {"max_rows": "20"}
    assert alembic_inside(cloud, "upgrade", "head", cell="cell1", x=x).code == 75
    assert (len(cloud.mappings()), cloud.versions()) == (20, {})
    return set(nova)


def test_what_an_unrecorded_0001_inserted_is_taken_back(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    kept = stopped_half_way(cloud)

    refused = alembic_inside(cloud, "downgrade", "base", cell="cell1")
    before = len(cloud.mappings())
    taken_back = alembic_inside(cloud, "downgrade", "base", cell="cell1", x=REMOVE)
    after = set(cloud.mappings())
    again = alembic_inside(cloud, "downgrade", "base", cell="cell1")
    mapped = alembic_inside(cloud, "upgrade", "head", cell="cell1")

    assert (refused.code, before) == (78, 20)
    assert "-x remove_mappings=yes" in refused.err
    assert (taken_back.code, taken_back.err, after) == (0, "", kept)
    assert "19 removed" in taken_back.out
    assert (again.code, again.out, again.err) == (0, "", "")
    assert (mapped.code, len(cloud.mappings())) == (0, 31)


def test_cellmap_takes_back_an_unrecorded_0001_too(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    kept = stopped_half_way(cloud)
    command = ("downgrade", "--cell", "cell1", "base")

    refused = cellmap_inside(cloud, *command)
    taken_back = cellmap_inside(cloud, *command, "--remove-mappings")

    assert (refused.code, taken_back.code) == (78, 0)
    assert "--remove-mappings" in refused.err
    assert cloud.mappings().keys() == kept


@pytest.mark.parametrize("recorded", [False, True])
def test_rejected_row_does_not_keep_the_others_from_being_taken_back(
    make_cloud: MakeCloud, *, recorded: bool
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.add_instance(project_id=None)
    cell.add_instances(3)
    x = {"on_reject": "skip" if recorded else "fail"}
    ended = alembic_inside(cloud, "upgrade", "head", cell="cell1", x=x)

    taken_back = alembic_inside(cloud, "downgrade", "base", cell="cell1", x=REMOVE)

    assert (ended.code, taken_back.code) == (0 if recorded else 65, 0)
    assert (cloud.mappings(), cloud.versions()) == ({}, {})


def test_downgrade_of_a_cell_that_was_never_upgraded_asks_nothing(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cloud.map_to(cell.id, uuids := cell.add_instances(2))

    finished = alembic_inside(cloud, "downgrade", "base", cell="cell1")

    assert (finished.code, finished.out, finished.err) == (0, "", "")
    assert (cloud.mapped_uuids(cell), cloud.our_tables()) == (set(uuids), set())


def test_upgrade_after_a_downgrade_that_was_stopped_maps_all_instances_again(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(30)
    upgrade(cloud)
    some = {"remove_mappings": "yes", "max_rows": "5"}
    stopped = alembic_inside(cloud, "downgrade", "base", cell="cell1", x=some)

    finished = upgrade(cloud)

    assert stopped.code == 75
    assert finished.code == 0
    assert cloud.mappings().keys() == {*uuids}
    assert "before a downgrade began to remove mappings" in finished.err
