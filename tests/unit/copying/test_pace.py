"""The rows per batch follow the rate of the database."""

from hypothesis import given, settings
from hypothesis import strategies as st

from cellmap_migrations.copying.batches import BatchSize

rates = st.floats(1.0, 1e6)

batches = st.lists(st.floats(0.0, 1e4), max_size=30)


@settings(deadline=None)
@given(least=st.integers(1, 10**5), more=st.integers(0, 10**6), seconds=batches)
def test_size_stays_between_its_bounds(
    least: int, more: int, seconds: list[float]
) -> None:
    pace = BatchSize(lambda: 0.5, least=least, most=least + more)

    sizes = [pace.size]
    for spent in seconds:
        pace.learn(pace.size, spent)
        sizes.append(pace.size)

    assert all(least <= size <= least + more for size in sizes)


@settings(deadline=None)
@given(rate=rates, wanted=st.floats(0.01, 2.0))
def test_steady_rate_leads_to_batches_of_the_wanted_time(
    rate: float, wanted: float
) -> None:
    pace = BatchSize(lambda: wanted, least=1, most=10**9)

    for _ in range(100):
        pace.learn(pace.size, pace.size / rate)

    assert max(1, int(rate * wanted * 0.9)) <= pace.size <= rate * wanted + 1


@settings(deadline=None)
@given(seconds=batches)
def test_size_never_grows_by_more_than_half(seconds: list[float]) -> None:
    pace = BatchSize(lambda: 0.5, least=1, most=10**9)

    for spent in seconds:
        before = pace.size
        pace.learn(before, spent)
        assert pace.size <= before * 1.5


@settings(deadline=None)
@given(rate=rates)
def test_one_slow_batch_shrinks_the_next_at_once(rate: float) -> None:
    pace = BatchSize(lambda: 0.5, least=1, most=10**9)
    for _ in range(20):
        pace.learn(pace.size, pace.size / rate)
    before = pace.size

    pace.learn(before, 5.0)

    assert pace.size <= max(1, before * 0.5 / 5.0)


def test_first_batch_is_small() -> None:
    assert BatchSize(lambda: 0.5, least=1, most=20_000).size == 1_000


def test_first_rate_is_that_of_the_first_batch() -> None:
    pace = BatchSize(lambda: 0.5, least=1, most=20_000)

    pace.learn(10, 0.05)

    assert pace.size == 100


def test_batch_of_just_the_wanted_time_does_not_end_the_memory() -> None:
    pace = BatchSize(lambda: 0.5, least=1, most=20_000)
    pace.learn(1_000, 0.25)

    pace.learn(1_000, 0.5)

    # 1,750 rows in 0.6875 s.
    assert pace.size == 1_272


def test_batch_without_a_measurable_time_lets_the_size_grow() -> None:
    pace = BatchSize(lambda: 0.5, least=1, most=20_000)

    pace.learn(1_000, 0.0)

    assert pace.size == 1_500


def test_time_that_an_operator_changes_is_that_of_the_next_batch() -> None:
    seconds = [0.5]
    pace = BatchSize(lambda: seconds[-1], least=1, most=20_000)
    pace.learn(1_000, 0.1)

    before = pace.size
    seconds.append(0.05)
    shorter = pace.size
    seconds.append(2.0)

    # It grows by a half at most.
    assert (before, shorter, pace.size) == (1_500, 500, 1_500)


class SlowHour:
    """A server on a fake clock: a tenth of its rate from one second to another."""

    def __init__(self, rate: float, begin: float, end: float) -> None:
        self.rate, self.begin, self.end, self.now = rate, begin, end, 0.0

    def write(self, rows: int) -> float:
        """Return the seconds that a batch takes, and let them pass."""
        slow = self.begin <= self.now < self.end
        seconds = rows / (self.rate / 10 if slow else self.rate)
        self.now += seconds
        return seconds


def test_slow_hour_costs_one_long_batch_and_is_forgotten_after_some_more() -> None:
    server, pace = (
        SlowHour(20_000, begin=60, end=3660),
        BatchSize(lambda: 0.5, least=1, most=10**6),
    )

    batches = []
    while server.now < 3720:
        rows, began = pace.size, server.now
        pace.learn(rows, server.write(rows))
        batches.append((began, rows, server.now - began))

    before = [rows for began, rows, _ in batches if 30 < began < 60]
    during = [(rows, took) for began, rows, took in batches if 60 <= began < 3660]
    after = [rows for began, rows, _ in batches if began >= 3660]
    assert all(9_900 <= rows <= 10_000 for rows in before)
    # The batch that met it, and no other, is long.
    assert [took > 0.51 for _, took in during] == [True] + [False] * (len(during) - 1)
    assert min(after[:2]) <= 1_500
    assert next(number for number, rows in enumerate(after) if rows > 9_000) <= 20
