"""``cellmap merge --undo`` gives back exactly the rows that a merge moved."""

import json
from collections.abc import Iterator
from signal import SIGKILL, SIGSTOP

import pytest
import sqlalchemy as sa

from cellmap_migrations.operations.merge_rows import MOST, Moved, numbers, ranges
from cellmap_migrations.testing.config import text
from cellmap_migrations.testing.rows import now
from tests.conftest import MakeCloud
from tests.harness.cloud import Cloud, wait_frozen
from tests.harness.inside import cellmap_inside, last_line
from tests.harness.merging import MERGE, ROWS, Pair, created_twice, mapped, merge


@pytest.fixture
def pair(make_cloud: MakeCloud) -> Iterator[Pair]:
    """A cell that was created twice, behind two addresses; batches of 10 rows."""
    with created_twice(make_cloud()) as made:
        yield made


def test_rows_are_as_before_to_the_byte(pair: Pair) -> None:
    cloud = pair.cloud
    before = mapped(cloud)
    merge(cloud)

    finished, counts = merge(cloud, "--undo")

    assert (finished.code, finished.err) == (0, "")
    assert counts == {"host_mappings": 2, "instance_mappings": ROWS}
    assert mapped(cloud) == before
    assert sum(row["moved"] for row in pair.merges()) == 2 * (ROWS + 2)


def test_rows_that_are_new_or_elsewhere_now_stay_where_they_are(pair: Pair) -> None:
    cloud = pair.cloud
    other = cloud.add_cell("other")
    merge(cloud)
    new = pair.cell.add_instance()
    cloud.map(new, pair.cell, created_at=now())
    cloud.insert("host_mappings", cell_id=pair.cell.id, host="compute-9")
    gone, away, *back = pair.moving
    cloud.unmap(gone)
    cloud.remap(away, cell_id=other.id)

    finished, counts = merge(cloud, "--undo")

    assert finished.code == 0
    assert counts == {"host_mappings": 2, "instance_mappings": ROWS - 2}
    assert cloud.mapped_uuids(pair.twin) == set(back)
    assert (cloud.mapped_uuids(other), new in cloud.mapped_uuids(pair.cell)) == (
        {away},
        True,
    )


def test_merge_is_undone_once_and_the_next_one_again(pair: Pair) -> None:
    cloud = pair.cloud
    before = mapped(cloud)
    merge(cloud)
    merge(cloud, "--undo")
    # By hand, which no merge has to undo.
    for uuid in pair.moving:
        cloud.remap(uuid, cell_id=pair.cell.id)

    again = cellmap_inside(cloud, *MERGE, "--undo")
    by_hand = cloud.mapped_uuids(pair.cell)
    for uuid in pair.moving:
        cloud.remap(uuid, cell_id=pair.twin.id)
    merge(cloud)
    merge(cloud, "--undo")

    told = f"cell cell1 ({pair.cell.uuid}): nothing to give back to cell twin"
    assert (again.code, again.out) == (0, f"{told} ({pair.twin.uuid})\n")
    assert by_hand >= set(pair.moving)
    assert mapped(cloud) == before


def test_dry_run_of_an_undo_writes_nothing(pair: Pair, backend: str) -> None:
    cloud = pair.cloud
    merge(cloud)
    before, journal = mapped(cloud), cloud.journal(pair.cell)
    reader = cloud.server(backend).readonly(cloud.url)
    cloud.configure(api_database={"connection": text(reader)})

    finished, counts = merge(cloud, "--undo", "--dry-run")

    assert (finished.code, finished.err) == (0, "")
    assert counts == {"host_mappings": 2, "instance_mappings": ROWS}
    assert (mapped(cloud), cloud.journal(pair.cell)) == (before, journal)


def test_killed_undo_goes_on_when_it_is_run_again(pair: Pair) -> None:
    cloud = pair.cloud
    before = mapped(cloud)
    merge(cloud)

    for moment in ("after UPDATE instance_mappings #1", "after COMMIT #2"):
        running = cloud.start_cellmap_until(moment, SIGKILL, *MERGE, "--undo")
        assert (moment, running.wait().code) == (moment, -SIGKILL)
    finished, counts = merge(cloud, "--undo")

    assert (finished.code, counts["host_mappings"]) == (0, 2)
    assert mapped(cloud) == before
    assert sum(row["moved"] for row in pair.merges()) == 2 * (ROWS + 2)


@pytest.mark.parametrize("by", ["uuid", "name"])
def test_undo_after_the_duplicate_was_deleted_is_refused(pair: Pair, by: str) -> None:
    cloud = pair.cloud
    merge(cloud)
    before = mapped(cloud)
    table = cloud.tables["cell_mappings"]
    cloud.execute(sa.delete(table).filter_by(uuid=pair.twin.uuid))

    selector = str(getattr(pair.twin, by))
    arguments = ("--cell", "cell1", "--from", selector, "--undo")
    finished = cellmap_inside(cloud, "merge", *arguments)

    assert finished.code == 78
    assert f"got mappings from {pair.twin.uuid}, which is not in" in last_line(finished)
    assert "create_cell: its upgrade moves them" in last_line(finished)
    assert mapped(cloud) == before


@pytest.mark.only_on("mysql", "postgresql")
def test_undo_stops_when_the_duplicate_is_deleted_meanwhile(pair: Pair) -> None:
    cloud = pair.cloud
    merge(cloud)
    before = mapped(cloud)
    moment = "before UPDATE instance_mappings #1"
    frozen = cloud.start_cellmap_until(moment, SIGSTOP, *MERGE, "--undo")
    wait_frozen(frozen, moment)
    table = cloud.tables["cell_mappings"]
    cloud.execute(sa.delete(table).filter_by(uuid=pair.twin.uuid))
    frozen.thaw()

    finished = frozen.wait()

    assert (finished.code, mapped(cloud)) == (78, before)
    assert f"cell twin ({pair.twin.uuid}) was deleted" in last_line(finished)


def test_undo_before_anything_was_merged_says_so(cloud: Cloud) -> None:
    cell = cloud.add_cell("cell1")
    twin = cloud.add_cell("twin", database=cell)

    finished = cellmap_inside(cloud, *MERGE, "--undo")

    assert (finished.code, cloud.our_tables()) == (0, set())
    assert finished.out.endswith(f"nothing to give back to cell twin ({twin.uuid})\n")


def test_journal_says_which_rows_each_batch_moved(cloud: Cloud) -> None:
    cell = cloud.add_cell("cell1")
    twin = cloud.add_cell("twin", database=cell)
    cloud.map_to(twin.id, cell.add_instances(3))
    cloud.unmap(cell.uuids()[1])
    merge(cloud)
    merge(cloud, "--undo")

    found = cellmap_inside(cloud, "journal", "--cell", "cell1", "--output", "json")

    undo = [batch["undo"] for batch in json.loads(found.out)["batches"]]
    assert [json.loads(each) for each in undo] == [
        {"table": "instance_mappings", "from": twin.uuid, "ids": "1,3"},
        {"undid": 1},
    ]


@pytest.mark.parametrize(
    ("ids", "spelled"),
    [([], ""), ([7], "7"), ([3, 1, 2], "1-3"), ([1, 3, 4, 5, 9], "1,3-5,9")],
)
def test_ids_are_written_as_ranges(ids: list[int], spelled: str) -> None:
    assert (ranges(ids), numbers(spelled)) == (spelled, sorted(ids))


def test_text_of_the_largest_batch_fits_into_the_column() -> None:
    ids = range(2**31 - 2 * MOST, 2**31, 2)
    moved = Moved(table="instance_mappings", duplicate="0" * 36, ids=ids)

    assert len(ids) == MOST
    assert len(moved.as_text()) < 2**16
