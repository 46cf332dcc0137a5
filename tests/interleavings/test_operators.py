"""Whatever an operator does beside an upgrade, what is recorded is true."""

import pytest

from tests.interleavings.grid import Explorer
from tests.interleavings.operators import COMMANDS, interfere_everywhere
from tests.interleavings.points import some

# A quick run takes every so many of the points.
OPERATED = 48


@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize("name", COMMANDS)
def test_operator_does_something_else(
    explorer: Explorer, name: str, *, thorough: bool
) -> None:
    points = [point for point in explorer.points if point.tables]

    interfere_everywhere(explorer, name, some(points, OPERATED, thorough=thorough))

    assert explorer.coverage.failures == []
