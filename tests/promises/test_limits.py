"""The limits end a run that corrects or removes rows, after the batch in hand."""

import pytest

from cellmap_migrations.testing.rows import USER
from tests.conftest import MakeCloud
from tests.harness.cloud import Cloud
from tests.harness.inside import alembic_inside, cellmap_inside, last_line, upgrade

WRONG = 25

TEN = {"max_rows": "10"}

REMOVE = {"remove_mappings": "yes"}

ROWS_DONE = "error: stopped: 10 rows done (max_rows); run again to go on from here"

TIME_IS_UP = "error: stopped: time limit reached; run again to go on from here"


def without_users(cloud: Cloud) -> None:
    """Add cell1 at 0002, and let WRONG of its mappings lose their user afterwards."""
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(WRONG)
    cloud.map_to(cell.id, uuids)
    assert upgrade(cloud, "0002").code == 0
    for uuid in uuids:
        cloud.remap(uuid, user_id=None)


def mended(cloud: Cloud) -> int:
    """Return how many mappings have their user."""
    return sum(row.user_id == USER for row in cloud.mappings().values())


def test_max_rows_ends_a_revision_that_corrects_a_column(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    without_users(cloud)

    ended = [(upgrade(cloud, **TEN), mended(cloud)) for _ in range(3)]

    assert [(run.code, rows) for run, rows in ended] == [(75, 10), (75, 20), (0, 25)]
    assert last_line(ended[0][0]) == ROWS_DONE


def test_as_many_rows_as_max_rows_are_no_reason_to_stop(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    without_users(cloud)

    ended = upgrade(cloud, max_rows=str(WRONG))

    assert (ended.code, ended.err, mended(cloud)) == (0, "", WRONG)


def test_time_limit_ends_a_revision_after_a_batch_that_corrected_something(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    without_users(cloud)

    # It is over before the comparison begins.
    ended = upgrade(cloud, time_limit="0")
    again = upgrade(cloud, time_limit="0")

    assert (ended.code, last_line(ended), mended(cloud)) == (75, TIME_IS_UP, WRONG)
    assert (again.code, again.err) == (0, "")


def test_walk_and_corrections_share_max_rows(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.add_instances(4)
    cloud.map_to(cell.id, cell.add_instances(4), user_id=None)

    ended = upgrade(cloud, **TEN)

    assert (ended.code, last_line(ended)) == (75, ROWS_DONE)
    assert (len(cloud.mappings()), mended(cloud)) == (8, 4 + 2)
    assert cloud.versions() == {cell.uuid: "0002"}


def test_rows_that_cannot_be_corrected_do_not_end_a_run(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cloud.map_to(cell.id, cell.add_instances(WRONG, user_id=None))

    first = upgrade(cloud, "0002")
    ended = upgrade(cloud, time_limit="0", **TEN)

    assert (first.code, ended.code, ended.err) == (0, 0, "")


def test_max_rows_ends_the_mapping_of_rows_found_behind_the_walk(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.add_instances(WRONG, project_id=None)
    assert upgrade(cloud).code == 65
    for uuid in cell.uuids():
        cell.update(uuid, project_id="p")

    ended = [(upgrade(cloud, **TEN).code, len(cloud.mappings())) for _ in range(3)]

    assert ended == [(75, 10), (75, 20), (0, 25)]


def test_max_rows_ends_a_downgrade(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.add_instances(WRONG)
    upgrade(cloud)
    x = {**TEN, **REMOVE}

    ended = [
        (
            alembic_inside(cloud, "downgrade", "base", cell="cell1", x=x).code,
            len(cloud.mappings()),
            cloud.versions(),
        )
        for _ in range(3)
    ]

    left = {cell.uuid: "0001"}
    assert ended == [(75, 15, left), (75, 5, left), (0, 0, {})]


@pytest.mark.parametrize(
    ("limit", "steps"),
    [({"max_rows": 10}, [10, 20, 25]), ({"time_limit": 0}, [25, 25])],
    ids=["max_rows", "time_limit"],
)
def test_limits_end_a_repair(
    make_cloud: MakeCloud, limit: dict[str, int], steps: list[int]
) -> None:
    cloud = make_cloud()
    without_users(cloud)
    cloud.configure(cellmap=limit)

    ended = [
        (cellmap_inside(cloud, "repair", "--cell", "cell1").code, mended(cloud))
        for _ in steps
    ]

    codes = [*[75] * (len(steps) - 1), 0]
    assert ended == list(zip(codes, steps, strict=True))


def test_max_rows_ends_the_removal_of_orphans(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.add_instances(4 * WRONG)
    gone = cell.add_instances(WRONG)
    cloud.map_to(cell.id, gone, queued_for_delete=True)
    for uuid in gone:
        cell.move_to_shadow(uuid)
    upgrade(cloud)
    cloud.configure(cellmap=TEN)

    ended = cellmap_inside(cloud, "repair", "--cell", "cell1")

    assert (ended.code, last_line(ended)) == (75, ROWS_DONE)
    assert len(cloud.mappings()) == 5 * WRONG - 10
