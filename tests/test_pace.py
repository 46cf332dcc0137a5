"""The rows per batch follow the rate of the database."""

from hypothesis import given
from hypothesis import strategies as st

from cellmap_migrations.copying.pace import GROWTH, START, Pace

rates = st.floats(1.0, 1e6)
batches = st.lists(st.floats(0.0, 1e4), max_size=30)


@given(least=st.integers(1, 10**5), more=st.integers(0, 10**6), seconds=batches)
def test_size_stays_between_its_bounds(
    least: int, more: int, seconds: list[float]
) -> None:
    pace = Pace(0.5, least=least, most=least + more)

    sizes = [pace.size]
    for spent in seconds:
        pace.learn(pace.size, spent)
        sizes.append(pace.size)

    assert all(least <= size <= least + more for size in sizes)


@given(rate=rates, wanted=st.floats(0.01, 2.0))
def test_steady_rate_leads_to_batches_of_the_wanted_time(
    rate: float, wanted: float
) -> None:
    pace = Pace(wanted, least=1, most=10**9)

    for _ in range(100):
        pace.learn(pace.size, pace.size / rate)

    assert max(1, int(rate * wanted * 0.9)) <= pace.size <= rate * wanted + 1


@given(seconds=batches)
def test_size_never_grows_by_more_than_half(seconds: list[float]) -> None:
    pace = Pace(0.5, least=1, most=10**9)

    for spent in seconds:
        before = pace.size
        pace.learn(before, spent)
        assert pace.size <= before * GROWTH


@given(rate=rates)
def test_one_slow_batch_shrinks_the_next_at_once(rate: float) -> None:
    pace = Pace(0.5, least=1, most=10**9)
    for _ in range(20):
        pace.learn(pace.size, pace.size / rate)
    before = pace.size

    pace.learn(before, 5.0)

    assert pace.size <= max(1, before * 0.5 / 5.0)


def test_first_batch_is_small() -> None:
    assert Pace(0.5, least=1, most=20_000).size == START
