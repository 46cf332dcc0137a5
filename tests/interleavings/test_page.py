"""docs/reliability.rst shows walks without gaps."""

import pytest

from tests.interleavings import page


@pytest.mark.parametrize("row", page.shown(), ids=" - ".join)
def test_page_shows_a_whole_walk(row: list[str]) -> None:
    done, _, of = row[page.HEADS.index("pairs")].partition(" of ")

    assert done == of
