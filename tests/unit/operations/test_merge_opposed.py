"""Two merges in opposite directions at the same time do not both end with 0."""

from collections.abc import Iterator
from signal import SIGSTOP

import pytest

from tests.conftest import MakeCloud
from tests.harness import readme
from tests.harness.cloud import wait_frozen
from tests.harness.inside import cellmap_inside, last_line
from tests.harness.merging import MERGE, Pair, created_twice, mapped

PAGE = readme.DOCS / "troubleshooting.rst"
TITLE = "Two merges in opposite directions"
OPPOSED = ("merge", "--cell", "twin", "--from", "cell1")


@pytest.fixture
def pair(make_cloud: MakeCloud) -> Iterator[Pair]:
    """A cell that was created twice, behind two addresses; batches of 10 rows."""
    with created_twice(make_cloud()) as made:
        yield made


def without_owner(pair: Pair) -> list[list[dict[str, object]]]:
    """Return all mappings without their cells."""
    return [[row | {"cell_id": None} for row in rows] for rows in mapped(pair.cloud)]


# Before its first batch, within it, between two batches, and before its last look.
@pytest.mark.parametrize(
    "moment",
    [
        "before UPDATE host_mappings #1",
        "after COMMIT #1",
        "before UPDATE instance_mappings #3",
        "after COMMIT #6",
    ],
)
def test_merge_that_another_one_opposed_ends_with_78(pair: Pair, moment: str) -> None:
    cloud, before = pair.cloud, without_owner(pair)
    frozen = cloud.start_cellmap_until(moment, SIGSTOP, *MERGE)
    wait_frozen(frozen, moment)
    other = cellmap_inside(cloud, *OPPOSED)
    frozen.thaw()
    thawed = frozen.wait()

    assert (other.code, thawed.code) == (0, 78)
    assert "merged into cell twin" in last_line(thawed)
    assert without_owner(pair) == before
    [line] = readme.commands(readme.section(PAGE, TITLE))
    assert cellmap_inside(cloud, *line.split()[1:]).code == 0
    assert pair.owners() == pair.owners("host_mappings") == {pair.cell.id}
    assert without_owner(pair) == before


def test_row_that_the_other_merge_keeps_can_be_chosen_as_well(pair: Pair) -> None:
    cloud, moment = pair.cloud, "before UPDATE instance_mappings #1"
    frozen = cloud.start_cellmap_until(moment, SIGSTOP, *MERGE)
    wait_frozen(frozen, moment)
    other = cellmap_inside(cloud, *OPPOSED)
    frozen.thaw()

    assert (other.code, frozen.wait().code) == (0, 78)
    assert cellmap_inside(cloud, *OPPOSED).code == 0
    assert pair.owners() == pair.owners("host_mappings") == {pair.twin.id}


def test_undo_of_an_opposite_merge_is_no_obstacle(pair: Pair) -> None:
    cloud, moment = pair.cloud, "after COMMIT #2"
    assert cellmap_inside(cloud, *OPPOSED).code == 0
    frozen = cloud.start_cellmap_until(moment, SIGSTOP, *MERGE)
    wait_frozen(frozen, moment)
    undone = cellmap_inside(cloud, *OPPOSED, "--undo")
    frozen.thaw()

    assert (undone.code, frozen.wait().code) == (0, 0)
    assert pair.owners() == pair.owners("host_mappings") == {pair.cell.id}
