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
    KILL: {"sqlite": 1, "mysql": 18, "postgresql": 18},
    LOSE: {"mysql": 150, "postgresql": 90},
    UNANSWERED: {"mysql": 6, "postgresql": 3},
    LOCK: {"sqlite": 60, "mysql": 8, "postgresql": 8},
    DEADLOCK: {"mysql": 7, "postgresql": 7},
    SILENCE: {"mysql": 150, "postgresql": 150},
}

PAIRS = [(kind, backend) for kind, of in SOME.items() for backend in of]

FOLLOWED = [pair for pair in PAIRS if pair[0] in (KILL, LOSE)]


@pytest.mark.parametrize(("kind", "backend"), PAIRS, indirect=["backend"])
def test_crash_at_a_statement(
    explorer: Explorer, backend: str, kind: str, *, thorough: bool
) -> None:
    crash_at(explorer, kind, every=1 if thorough else SOME[kind][backend])

    assert explorer.coverage.failures == []


@pytest.mark.parametrize(("kind", "backend"), FOLLOWED, indirect=["backend"])
def test_nova_acts_after_a_crash(
    explorer: Explorer, kind: str, *, thorough: bool
) -> None:
    every = 1 if thorough else len(explorer.points)

    crash_at(explorer, kind, every=every, together=True)

    assert explorer.coverage.failures == []
