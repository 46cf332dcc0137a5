"""The pace keeps the slowdown of others within a bound, on simulated servers."""

from dataclasses import dataclass, field
from random import Random
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellmap_migrations.cell.pace import CALM, ENOUGH, FIRST, LEAST, Latency, Pace

BOUND, MOST = 2.0, 8.0

# Samples between two looks.
SAMPLES = 10

seconds = st.floats(1e-4, 10.0)


@dataclass
class Server:
    """Simulate a server on which others wait longer, the more a run does.

    Each writer makes the latency of others longer by *slope*, and *noise* is the
    standard deviation of the latency's logarithm.
    """

    slope: float
    noise: float = 0.0
    pace: Pace = field(default_factory=Pace)
    random: Random = field(default_factory=lambda: Random(7))

    def slowdown(self) -> float:
        """Return how many times as long others wait now, without the noise."""
        return 1 + self.slope * self.pace.room

    def latency(self, times: float) -> float:
        """Return a latency that is *times* as long as usual."""
        return 0.003 * times * self.random.lognormvariate(0, self.noise)

    def looks(self, count: int) -> list[float]:
        """Adapt the pace *count* times; return the slowdown before each of them."""
        found = []
        for _ in range(count):
            found.append(self.slowdown())
            for _ in range(SAMPLES):
                self.pace.alone.add(self.latency(1.0))
                self.pace.beside.add(self.latency(self.slowdown()))
            self.pace.adapt(BOUND, MOST)
        return found


@pytest.mark.parametrize("noise", [0.0, 0.1, 0.4])
@pytest.mark.parametrize("slope", [0.25, 0.5, 1.5, 4.0])
def test_slowdown_converges_to_the_bound_and_holds(slope: float, noise: float) -> None:
    server = Server(slope, noise)

    server.looks(300)
    held = server.looks(300)

    # No more than half of what the bound allows is given away.
    assert BOUND / 2 < fmean(held) <= BOUND
    assert max(held) < 1.5 * BOUND


@pytest.mark.parametrize("noise", [0.0, 0.4])
def test_run_gets_all_it_can_where_nobody_waits(noise: float) -> None:
    server = Server(0.0, noise)

    server.looks(300)

    assert server.pace.room == MOST


@pytest.mark.parametrize("noise", [0.0, 0.4])
def test_pace_lets_go_when_others_wait_no_more(noise: float) -> None:
    server = Server(20.0, noise)
    server.looks(50)
    narrow = server.pace.room
    server.slope = 0.1

    server.looks(100)

    assert narrow < 0.2
    assert server.pace.room >= 1.0


def test_run_shrinks_within_a_few_looks() -> None:
    server = Server(0.0)
    server.looks(300)
    server.slope = 1.5

    server.looks(8)

    assert server.slowdown() <= BOUND


@settings(deadline=None)
@given(
    alone=st.lists(seconds, max_size=30),
    beside=st.lists(seconds, max_size=30),
    bound=st.floats(1.0, 100.0),
    most=st.integers(1, 8),
)
def test_run_never_stops_for_ever(
    alone: list[float], beside: list[float], bound: float, most: int
) -> None:
    pace = Pace()
    for sample in alone:
        pace.alone.add(sample)
    rooms = [FIRST]
    for sample in beside:
        pace.beside.add(sample)
        pace.adapt(bound, most)
        rooms.append(pace.room)

    assert all(LEAST <= room <= most for room in rooms)


@given(bound=st.floats(1.0, 100.0), part=st.floats(CALM + 1e-6, 1 - 1e-6))
def test_room_stays_as_it_is_just_below_the_bound(bound: float, part: float) -> None:
    pace = Pace()
    for _ in range(ENOUGH):
        pace.alone.add(0.001)
        pace.beside.add(0.001 * bound * part)

    pace.adapt(bound, MOST)

    assert pace.slowdown == pytest.approx(bound * part)
    assert pace.room == FIRST


def test_nothing_is_known_from_less_than_enough_samples() -> None:
    pace = Pace()
    for _ in range(ENOUGH):
        pace.alone.add(0.001)
    for _ in range(ENOUGH - 1):
        pace.beside.add(1.0)

    pace.adapt(BOUND, MOST)

    assert (pace.room, pace.slowdown) == (FIRST, 1.0)


@given(sample=seconds, count=st.integers(1, 50))
def test_equal_samples_are_their_own_percentile(sample: float, count: int) -> None:
    latency = Latency()
    for _ in range(count):
        latency.add(sample)

    assert latency.p99 == pytest.approx(sample)


def test_percentile_is_near_that_of_many_samples() -> None:
    random, latency = Random(7), Latency()
    found = []
    for _ in range(1_000):
        latency.add(random.lognormvariate(0, 0.3))
        found.append(latency.p99)

    # exp(2.33 * 0.3) is the 99th percentile of this distribution.
    assert 1.7 < fmean(found) < 2.3


def test_one_stall_is_forgotten_after_some_samples() -> None:
    latency = Latency()
    for sample in [0.003] * 50 + [1.0] + [0.003] * 60:
        latency.add(sample)

    assert latency.p99 < 1.5 * 0.003
