"""Other commands end right although nova acts, or they are killed."""

import pytest

from tests.interleavings.conftest import MakeExplorer
from tests.interleavings.crashes import KILL, LOSE, UNANSWERED, crash_at
from tests.interleavings.explorers import COMMANDS
from tests.interleavings.points import some
from tests.interleavings.walks import walk

# A quick run takes every so many of the points.
ACTED, CRASHED = 60, 30


@pytest.mark.only_on("sqlite", thorough=["mysql", "postgresql"])
@pytest.mark.parametrize("name", COMMANDS)
def test_command_ends_right_although_nova_acts_or_it_is_killed(
    explore: MakeExplorer, name: str, backend: str, *, thorough: bool
) -> None:
    explorer = explore(COMMANDS[name])
    points = some(explorer.points, ACTED, thorough=thorough)
    crashes = [KILL] if backend == "sqlite" else [KILL, LOSE, UNANSWERED]

    walk(explorer, explorer.prefixes, points, together=True)
    for kind in crashes:
        crash_at(explorer, kind, every=1 if thorough else CRASHED)

    assert explorer.failures == []
