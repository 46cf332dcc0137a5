"""Times that are a minute apart count as equal, and so do those that one side lacks."""

from collections.abc import Iterator

import pytest

from cellmap_migrations.common.stopping import Stopping
from cellmap_migrations.comparing import chunks
from cellmap_migrations.comparing.chunks import APART, delay, is_near, is_same


def test_a_minute_is_near() -> None:
    assert APART == 60
    assert is_near(1_000, 1_060)
    assert is_near(1_060, 1_000)


def test_more_than_a_minute_is_not_near() -> None:
    assert not is_near(1_000, 1_061)
    assert not is_near(1_061, 1_000)


@pytest.mark.parametrize(("one", "other"), [(None, 5_000), (5_000, None), (None, None)])
def test_missing_time_is_near_to_every_other(
    one: int | None, other: int | None
) -> None:
    assert is_near(one, other)


def test_rows_are_the_same_only_in_texts_and_time() -> None:
    assert is_same((0, "a", "b"), (60, "a", "b"))
    assert not is_same((0, "a", "b"), (61, "a", "b"))
    assert not is_same((0, "a", "b"), (0, "a", "c"))


class Clock:
    """A clock that stands still, except while something waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


def test_each_page_is_given_a_while_after_it_was_fetched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    monkeypatch.setattr(chunks, "time", clock)
    monkeypatch.setattr(Stopping, "wait", lambda _, seconds: clock.wait(seconds))

    def pages() -> Iterator[list[str]]:
        yield ["one"]
        clock.wait(4)
        yield ["two"]
        clock.wait(1)
        yield ["three"]
        clock.wait(2)

    found = [(page, clock.now) for page in delay(pages(), 5.0, Stopping())]

    assert found == [(["one"], 5.0), (["two"], 9.0), (["three"], 10.0)]
