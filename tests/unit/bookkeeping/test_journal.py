"""The journal has one row for each committed batch, and they tell what happened."""

from itertools import pairwise

import pytest

from cellmap_migrations.testing.rows import CELL0, now
from tests.conftest import MakeCloud
from tests.harness import poison
from tests.harness.upgrading import OUTCOMES, complete, map_cell, stopped

SMALL = {"batch_rows_min": "7", "batch_rows_max": "7"}


def test_batches_follow_one_another_without_a_gap(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.add_instances(30)
    highest = cell.row(cell.uuids()[-1])
    assert highest is not None

    map_cell(cloud, cell, **SMALL)

    batches = cloud.journal(cell)
    assert [batch["batch"] for batch in batches] == [1, 2, 3, 4, 5]
    assert [batch["rows_read"] for batch in batches] == [7, 7, 7, 7, 2]
    for before, after in pairwise(batches):
        assert before["upto_id"] == after["after_id"]
    assert (batches[0]["after_id"], batches[-1]["upto_id"]) == (0, highest["id"])


def test_each_row_is_counted_once_also_where_a_batch_is_halved(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell, other = cloud.add_cell("cell1"), cloud.add_cell("cell2")
    poison.poison(cloud)
    cell.add_instances(10)
    cell.add_instances(2, project_id=poison.PROJECT)
    cell.add_instances(3, project_id=None)
    cell.add_instances(4, hidden=True)
    cell.add_instance(uuid=CELL0, deleted=True)
    cloud.map_to(cell.id, cell.add_instances(5))
    cloud.map_to(None, cell.add_instances(6))
    cloud.map_to(None, cell.add_instances(7, created_at=now()))
    cloud.map_to(other.id, cell.add_instances(8))

    ended = map_cell(cloud, cell, **SMALL)

    expected = {
        "mapped": 10,
        "rejected": 5,
        "hidden": 4,
        "placeholder": 1,
        "already": 5,
        "filled": 6,
        "in_flight": 7,
        "moved": 8,
    }
    assert stopped(65, **expected) == ended
    for batch in cloud.journal(cell):
        assert batch["rows_read"] == sum(batch[name] for name in OUTCOMES)


def test_second_upgrade_of_a_finished_cell_records_nothing(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.add_instances(3)
    map_cell(cloud, cell)
    before = cloud.journal(cell)

    ended = map_cell(cloud, cell)

    assert (ended.code, ended.told) == (0, {})
    assert before == cloud.journal(cell)


def test_cells_have_journals_of_their_own(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell, other = cloud.add_cell("cell1"), cloud.add_cell("cell2")
    cell.add_instances(3)
    other.add_instances(4)

    ended = map_cell(cloud, cell), map_cell(cloud, other)

    assert (complete(mapped=3), complete(mapped=4)) == ended


@pytest.mark.parametrize("count", [0, 1])
def test_cell_with_hardly_an_instance_is_complete(
    make_cloud: MakeCloud, count: int
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.add_instances(count)

    ended = map_cell(cloud, cell)

    assert (ended.code, ended.stamped) == (0, True)
    assert set(cell.uuids()) == cloud.mapped_uuids(cell)
