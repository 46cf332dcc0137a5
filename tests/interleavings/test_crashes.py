"""The next upgrade completes one that was killed or lost its connection."""

import pytest

from tests.interleavings.crashes import (
    KILL,
    LOSE,
    SILENCE,
    changes,
    commits,
    crash,
)
from tests.interleavings.grid import Explorer
from tests.interleavings.points import some
from tests.interleavings.walks import disturb_at

# A quick run takes every so many of the points.
KILLED, LOST, UNANSWERED = {"sqlite": 1, "postgresql": 18}, 90, 3


@pytest.mark.only_on("sqlite", "postgresql")
def test_run_is_killed(explorer: Explorer, backend: str, *, thorough: bool) -> None:
    points = some(changes(explorer), KILLED[backend], thorough=thorough)

    disturb_at(points, explorer, KILL, crash)

    assert explorer.coverage.failures == []


@pytest.mark.only_on("postgresql")
def test_connection_is_lost(explorer: Explorer, *, thorough: bool) -> None:
    points = some(explorer.points, LOST, thorough=thorough)

    disturb_at(points, explorer, LOSE, crash)

    assert explorer.coverage.failures == []


@pytest.mark.only_on("postgresql")
def test_answer_to_a_commit_is_lost(explorer: Explorer, *, thorough: bool) -> None:
    committing = [*filter(commits, explorer.points)]
    points = some(committing, UNANSWERED, thorough=thorough)

    disturb_at(points, explorer, SILENCE, crash)

    assert explorer.coverage.failures == []
