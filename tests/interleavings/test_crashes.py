"""The next upgrade completes one that was killed, or got an error of its database."""

import pytest

from tests.interleavings.crashes import (
    DEADLOCK,
    KILL,
    LOCK,
    LOSE,
    SILENCE,
    UNANSWERED,
    crash_at,
)
from tests.interleavings.grid import Explorer

# A quick run takes every so many of the points. Newer servers are for --thorough.
SOME = {
    KILL: {"sqlite": 3, "mysql": 25, "postgresql": 25},
    LOSE: {"mysql": 350, "postgresql": 350},
    UNANSWERED: {"mysql": 10, "postgresql": 10},
    LOCK: {"sqlite": 90, "mysql": 15, "postgresql": 15},
    DEADLOCK: {"mysql": 15, "postgresql": 15},
    SILENCE: {"mysql": 350, "postgresql": 350},
}

PAIRS = [(kind, backend) for kind, of in SOME.items() for backend in of]

FOLLOWED = [pair for pair in PAIRS if pair[0] in (KILL, LOSE)]


@pytest.mark.parametrize(("kind", "backend"), PAIRS, indirect=["backend"])
def test_crash_at_a_statement(
    explorer: Explorer, backend: str, kind: str, *, thorough: bool
) -> None:
    crash_at(explorer, kind, every=1 if thorough else SOME[kind][backend])

    assert explorer.failures == []


@pytest.mark.parametrize(("kind", "backend"), FOLLOWED, indirect=["backend"])
def test_nova_acts_after_a_crash(
    explorer: Explorer, kind: str, *, thorough: bool
) -> None:
    every = 1 if thorough else len(explorer.points)

    crash_at(explorer, kind, every=every, together=True)

    assert explorer.failures == []
