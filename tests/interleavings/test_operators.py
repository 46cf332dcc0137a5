"""A recorded revision is true although an operator does something else meanwhile."""

import pytest

from tests.interleavings.conftest import MakeExplorer
from tests.interleavings.edits import EDITS, Edited, edit_at
from tests.interleavings.grid import Explorer
from tests.interleavings.operators import COMMANDS, EXPLORERS, interfere_at
from tests.interleavings.points import some

# A quick run takes every so many of the points.
OPERATED, EDITED = 120, 340


@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize("name", COMMANDS)
def test_operator_runs_another_command(
    explore: MakeExplorer, name: str, *, thorough: bool
) -> None:
    explorer = explore(EXPLORERS.get(name, Explorer))
    meeting = [point for point in explorer.points if point.tables]
    points = some(meeting, OPERATED, thorough=thorough)

    interfere_at(points, explorer, name)

    assert explorer.failures == []


@pytest.mark.only_on("sqlite", thorough=["postgresql"])
def test_operator_edits_the_row_of_the_cell(
    explore: MakeExplorer, *, thorough: bool
) -> None:
    explorer = explore(Edited)
    points = some(explorer.points, EDITED, thorough=thorough)

    for name in EDITS:
        edit_at(points, explorer, name)

    assert explorer.failures == []
