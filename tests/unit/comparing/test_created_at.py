"""``check`` tells mappings whose created_at is not that of the instance."""

import json
from datetime import timedelta

import pytest

from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.mapped import assert_cell_mapped
from cellmap_migrations.testing.process import Finished
from cellmap_migrations.testing.rows import LONG_AGO
from tests.conftest import MakeCloud
from tests.harness.cloud import Cloud
from tests.harness.inside import alembic_inside, cellmap_inside

OTHERS = {"sqlite": "mysql", "mysql": "postgresql", "postgresql": "mysql"}

SAID = (
    "2015-10-15 11:30:00 in its mapping, 2015-10-15 12:30:00 in the cell; nova shows "
    "the first while the cell is down"
)


def mapped_earlier(cloud: Cloud, cell: Cell, count: int, **before: float) -> list[str]:
    """Map new instances; the mappings are older than the instances by *before*."""
    uuids = cell.add_instances(count)
    cloud.map_to(cell.id, uuids, created_at=LONG_AGO - timedelta(**before))
    return uuids


def check(cloud: Cloud) -> Finished:
    """Check cell1, and answer in JSON."""
    return alembic_inside(cloud, "check", cell="cell1", x={"output": "json"})


@pytest.mark.parametrize("mixed", [False, True], ids=["alike", "two kinds"])
def test_time_that_is_an_hour_off_is_told_and_is_no_difference(
    make_cloud: MakeCloud, backend: str, *, mixed: bool
) -> None:
    cloud = make_cloud(cell_backend=OTHERS[backend] if mixed else backend)
    cell = cloud.add_cell("cell1")
    mapped_earlier(cloud, cell, 30, seconds=0)
    [off] = mapped_earlier(cloud, cell, 1, hours=1)

    finished = check(cloud)

    found = json.loads(finished.out)["differences"]
    assert finished.code == 0, finished.err
    assert found == {"created_at": {"count": 1, "uuids": [off], "why": [SAID]}}


def test_text_has_the_count_and_the_listing_both_times(cloud: Cloud) -> None:
    cell = cloud.add_cell("cell1")
    off = mapped_earlier(cloud, cell, 12, hours=1)

    finished = cellmap_inside(cloud, "check", "--cell", "cell1")

    name, count, *uuids = finished.out.split()
    assert (finished.code, name, count, len({*uuids} & {*off})) == (
        *(0, "created_at", "12"),
        10,
    )
    lines = finished.err.splitlines()
    assert [line.endswith(SAID) for line in lines] == [True] * 10 + [False]
    assert lines[-1].split() == ["created_at", "and", "2", "more"]


@pytest.mark.parametrize("seconds", [-60, -3, 0, 3, 60])
def test_time_within_a_minute_is_not_told(make_cloud: MakeCloud, seconds: int) -> None:
    cloud = make_cloud()
    mapped_earlier(cloud, cloud.add_cell("cell1"), 5, seconds=seconds)

    finished = check(cloud)

    assert (finished.code, json.loads(finished.out)["differences"]) == (0, {})


@pytest.mark.parametrize("seconds", [-61, 61])
def test_time_beyond_a_minute_is_told(make_cloud: MakeCloud, seconds: int) -> None:
    cloud = make_cloud()
    mapped_earlier(cloud, cloud.add_cell("cell1"), 5, seconds=seconds)

    finished = check(cloud)

    found = json.loads(finished.out)["differences"]
    assert (finished.code, found["created_at"]["count"]) == (0, 5)


def test_time_that_one_side_has_not_is_not_told(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cloud.map_to(cell.id, cell.add_instances(3), created_at=None)
    cloud.map_to(cell.id, cell.add_instances(3, created_at=None))

    finished = check(cloud)

    assert (finished.code, json.loads(finished.out)["differences"]) == (0, {})


def test_time_stays_out_of_what_is_repaired_and_asserted(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    mapped_earlier(cloud, cell, 3, hours=1)
    before = cloud.mappings()

    finished = cellmap_inside(cloud, "repair", "--cell", "cell1", "--output", "json")

    assert_cell_mapped(cell)
    told = json.loads(finished.out)
    assert (finished.code, told["left_differences"]) == (0, {})
    assert (told["mended_differences"], cloud.mappings()) == ({}, before)


def test_other_differences_are_counted_beside_it(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    off = mapped_earlier(cloud, cell, 3, hours=1)
    cloud.remap(off[0], user_id=None)

    finished = check(cloud)

    found = json.loads(finished.out)["differences"]
    assert finished.code == 3
    assert {kind: listed["count"] for kind, listed in found.items()} == {
        "user_id": 1,
        "created_at": 3,
    }
