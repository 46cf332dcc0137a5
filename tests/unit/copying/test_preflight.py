"""A few copies are conflicts, and many mean the database of another level."""

from collections import Counter

import pytest

from cellmap_migrations.copying.preflight import ENOUGH, is_top_level, most_copies


@pytest.mark.parametrize(
    ("copies", "named", "sample", "expected"),
    [
        pytest.param(0, 0, 0, False, id="nothing"),
        pytest.param(ENOUGH, 2 * ENOUGH, 100, False, id="half of the named"),
        pytest.param(ENOUGH, 2 * ENOUGH - 1, 100, True, id="most of the named"),
        pytest.param(ENOUGH - 1, ENOUGH, 100, False, id="too few of a large sample"),
        pytest.param(2, 2, 4, False, id="half of a small sample"),
        pytest.param(2, 2, 3, True, id="most of a small sample"),
        pytest.param(2, 4, 3, False, id="half of the named of a small sample"),
    ],
)
def test_most_instances_with_a_cell_name_must_live_elsewhere(
    copies: int, named: int, sample: int, *, expected: bool
) -> None:
    assert is_top_level(copies, named, sample) is expected


def test_all_cells_are_named_if_they_are_three() -> None:
    found = most_copies(Counter({"a": 1, "b": 3, "c": 2}))

    assert found == "b has 3, c has 2, a has 1"


def test_cells_after_the_third_are_counted() -> None:
    found = most_copies(Counter({"a": 1, "b": 3, "c": 2, "d": 4, "e": 5}))

    assert found == "e has 5, d has 4, b has 3, 2 more cells"
