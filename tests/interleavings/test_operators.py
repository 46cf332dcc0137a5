"""A recorded revision is true although an operator does something else meanwhile."""

import pytest

from tests.interleavings.conftest import Explore
from tests.interleavings.edits import EDITS, Edited, edit_row
from tests.interleavings.grid import Explorer
from tests.interleavings.operators import COMMANDS, EXPLORERS, interfere
from tests.interleavings.points import some
from tests.interleavings.walks import disturb_at

# A quick run takes every so many of the points.
OPERATED, EDITED = 120, 340


@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize("name", COMMANDS)
def test_operator_runs_another_command(
    explore: Explore, name: str, *, thorough: bool
) -> None:
    explorer = explore(EXPLORERS.get(name, Explorer))
    meeting = [point for point in explorer.points if point.tables]
    points = some(meeting, OPERATED, thorough=thorough)

    explorer.cover(f"an operator runs {name}", 1)
    disturb_at(points, explorer, name, interfere)

    assert explorer.failures == []


@pytest.mark.only_on("sqlite", thorough=["postgresql"])
def test_operator_edits_the_row_of_the_cell(
    explore: Explore, *, thorough: bool
) -> None:
    explorer = explore(Edited)
    points = some(explorer.points, EDITED, thorough=thorough)

    for name in EDITS:
        explorer.cover(f"the cell's row is {name}", 1)
        disturb_at(points, explorer, name, edit_row)

    assert explorer.failures == []
