"""Other commands end right although nova acts, or they are killed."""

import pytest

from tests.interleavings.conftest import Explore
from tests.interleavings.crashes import KILL, LOSE, SILENCE, changes, commits, crash
from tests.interleavings.explorers import COMMANDS
from tests.interleavings.points import some
from tests.interleavings.walks import disturb_at, walk

# A quick run takes every so many of the points.
ACTED, CRASHED = 60, 30


@pytest.mark.only_on("sqlite", thorough=["postgresql"])
@pytest.mark.parametrize("name", COMMANDS)
def test_command_ends_right_although_nova_acts_or_it_is_killed(
    explore: Explore, name: str, backend: str, *, thorough: bool
) -> None:
    explorer = explore(COMMANDS[name])
    crashes = {KILL: changes(explorer)}
    if backend == "postgresql":
        committing = [*filter(commits, explorer.points)]
        crashes |= {LOSE: explorer.points, SILENCE: committing}

    points = some(explorer.points, ACTED, thorough=thorough)
    walk(explorer, explorer.prefixes, points, together=True)
    for kind, chosen in crashes.items():
        some_of_these = some(chosen, CRASHED, thorough=thorough)
        disturb_at(some_of_these, explorer, kind, crash)

    assert explorer.coverage.failures == []
