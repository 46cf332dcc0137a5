"""A recorded revision is true although an operator runs other commands meanwhile."""

import pytest

from tests.interleavings.grid import Explorer
from tests.interleavings.operators import COMMANDS, interfere
from tests.interleavings.points import some
from tests.interleavings.walks import disturb_at

# A quick run takes every so many of the points.
OPERATED = 48


@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize("name", COMMANDS)
def test_operator_does_something_else(
    explorer: Explorer, name: str, *, thorough: bool
) -> None:
    meeting = [point for point in explorer.points if point.tables]
    points = some(meeting, OPERATED, thorough=thorough)

    explorer.cover(f"an operator runs {name}", 1)
    disturb_at(points, explorer, name, interfere)

    assert explorer.coverage.failures == []
