"""``cellmap merge --database-is-gone``: the duplicate's address leads nowhere."""

import json
from signal import SIGKILL
from typing import Any

import pytest

from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.config import text
from cellmap_migrations.testing.process import Finished
from tests.conftest import MakeCloud
from tests.harness import readme
from tests.harness.cloud import Cloud
from tests.harness.inside import cellmap_inside, last_line
from tests.harness.merging import MERGE, ROWS, Pair, filled, merge
from tests.harness.twins import leading_to

GONE = "--database-is-gone"


@pytest.fixture
def pair(make_cloud: MakeCloud) -> Pair:
    """A cell that was created again when its address had changed."""
    cloud = make_cloud()
    batches = {"batch_rows_min": 10, "batch_rows_max": 10}
    cloud.configure(cellmap={**batches, "connect_timeout": 1})
    cell = cloud.add_cell("cell1")
    return filled(cloud, cell, cloud.add_cell("twin", connection=nowhere(cell)))


def nowhere(cell: Cell) -> str:
    """Return an address at which nobody answers."""
    if cell.url.port is None:
        return text(cell.url.set(database=f"{cell.url.database}.gone"))
    return text(cell.url.set(port=1))


def test_mappings_of_instances_that_the_kept_cell_has_are_moved(pair: Pair) -> None:
    finished, counts = merge(pair.cloud, GONE)

    assert finished.code == 0
    assert counts == {"host_mappings": 2, "instance_mappings": ROWS}
    assert pair.owners() == pair.owners("host_mappings") == {pair.cell.id}


@pytest.mark.parametrize("connection", [None, "nowhere"], ids=["NULL", "no URL"])
def test_address_that_is_unusable_is_that_of_no_database(
    pair: Pair, connection: str | None
) -> None:
    pair.cloud.lead(pair.twin, connection)

    asked = cellmap_inside(pair.cloud, *MERGE)
    finished, counts = merge(pair.cloud, GONE)

    assert (asked.code, finished.code) == (78, 0)
    assert counts == {"host_mappings": 2, "instance_mappings": ROWS}
    assert pair.owners() == pair.owners("host_mappings") == {pair.cell.id}


def test_address_that_is_dead_needs_the_option(pair: Pair, backend: str) -> None:
    finished = cellmap_inside(pair.cloud, *MERGE)

    # A file that is not there is no server that may come back.
    assert finished.code == (78 if backend == "sqlite" else 75)
    assert "twin" in last_line(finished)
    assert (f"add {GONE}" in last_line(finished)) == (backend != "sqlite")
    assert pair.cloud.our_tables() == set()


def add_lost(pair: Pair, count: int) -> list[str]:
    """Map instances to the duplicate that no cell has."""
    uuids = [f"{number:08}-2222-4333-8444-555555555555" for number in range(count)]
    pair.cloud.map_to(pair.twin.id, uuids)
    return uuids


def left(finished: Finished) -> dict[str, Any]:
    """Return the mappings that a merge left, as its JSON has them."""
    found: dict[str, Any] = json.loads(finished.out)["left_differences"]["orphan"]
    return found


@pytest.mark.parametrize("options", [("--dry-run",), ()])
def test_instances_that_no_cell_has_are_left_and_listed(
    pair: Pair, options: tuple[str, ...]
) -> None:
    lost = add_lost(pair, 12)

    finished, found = merge(pair.cloud, GONE, *options)

    assert finished.code == 65
    assert found["moved_mappings"] == {"host_mappings": 2, "instance_mappings": ROWS}
    why = f"not in cell cell1 ({pair.cell.uuid})"
    assert left(finished) == {"count": 12, "uuids": lost[:10], "why": [why] * 10}
    assert f"{lost[0]}  {why}" in finished.err
    assert "12 mappings are left, listed above" in last_line(finished)
    moved = set() if options else set(pair.moving)
    assert pair.cloud.mapped_uuids(pair.twin) == {*lost, *pair.moving} - moved
    assert bool(pair.cloud.our_tables()) == (not options)


def test_operator_who_repeats_the_count_moves_the_rest(pair: Pair) -> None:
    lost = add_lost(pair, 12)

    wrong, _ = merge(pair.cloud, GONE, "--accept-orphans", "11")
    finished, found = merge(pair.cloud, GONE, "--accept-orphans", "12")

    assert (wrong.code, finished.code) == (65, 0)
    assert "--accept-orphans 12" in last_line(wrong)
    assert found["instance_mappings"] == len(lost)
    assert pair.cloud.mapped_uuids(pair.twin) == set()


def test_nothing_is_moved_to_a_cell_that_lacks_most(pair: Pair) -> None:
    cloud = pair.cloud
    owner = cloud.add_cell("owner")
    for uuid in add_lost(pair, ROWS + 1):
        owner.add_instance(uuid=uuid)
    before = cloud.mappings(), cloud.rows("host_mappings")

    finished, _ = merge(cloud, GONE)

    assert finished.code == 65
    assert f"does not have 51 of {2 * ROWS + 1} instances" in last_line(finished)
    assert f"cell owner ({owner.uuid}) has 10 of 10" in last_line(finished)
    assert str(pair.cell.url.database) in last_line(finished)
    assert (cloud.mappings(), cloud.rows("host_mappings")) == before
    assert cloud.our_tables() == set()


def test_killed_merge_goes_on_although_most_of_the_rest_is_lost(pair: Pair) -> None:
    cloud = pair.cloud
    lost = add_lost(pair, ROWS - 5)
    moment = "after COMMIT #5"
    killed = cloud.start_cellmap_until(moment, SIGKILL, *MERGE, GONE).wait()

    finished, _ = merge(cloud, GONE)

    assert (killed.code, finished.code) == (-SIGKILL, 65)
    assert "mappings are left, listed above" in last_line(finished)
    assert cloud.mapped_uuids(pair.twin) == set(lost)


def test_database_that_answers_is_not_gone(pair: Pair) -> None:
    cloud = pair.cloud
    other = cloud.add_cell("other")
    cloud.lead(pair.twin, text(other.url))

    finished, _ = merge(cloud, GONE)

    assert finished.code == 78
    assert f"cell twin ({pair.twin.uuid}) is not gone: " in last_line(finished)
    assert str(other.url.database) in last_line(finished)
    assert cloud.our_tables() == set()


def test_option_is_not_needed_for_the_same_database(pair: Pair) -> None:
    cloud = pair.cloud
    with leading_to(pair.cell) as url:
        cloud.lead(pair.twin, url)

        finished, _ = merge(cloud, GONE)

    assert (finished.code, cloud.our_tables()) == (78, set())
    assert last_line(finished).endswith(f": leave out {GONE}")


def test_undo_of_a_merge_needs_no_database(pair: Pair) -> None:
    cloud = pair.cloud
    before = cloud.mappings()
    merge(cloud, GONE)
    cloud.lead(pair.cell, nowhere(pair.cell))

    finished, _ = merge(cloud, "--undo")

    assert (finished.code, cloud.mappings()) == (0, before)


def test_undo_and_a_dead_address_are_not_asked_for_at_once(cloud: Cloud) -> None:
    finished = cellmap_inside(cloud, *MERGE, GONE, "--undo")

    assert (finished.code, "not allowed with" in finished.err) == (2, True)


@pytest.mark.only_on("sqlite")
def test_commands_of_the_page_end_well(pair: Pair) -> None:
    titles = ("The address of the duplicate is dead", "Undo a merge")
    page = readme.DOCS / "troubleshooting.rst"
    commands = [
        command
        for title in titles
        for command in readme.commands(readme.section(page, title))
    ]

    codes = [cellmap_inside(pair.cloud, *each.split()[1:]).code for each in commands]

    assert codes == [0] * 5
    assert pair.cloud.mapped_uuids(pair.twin) == set(pair.moving)
