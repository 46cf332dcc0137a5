"""Lines that the cell's server has joined are used only if each character is plain."""

import pytest

from cellmap_migrations.copying.pages import is_sound


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("u1\tp\t1\nu2\tp\t0", id="two lines"),
        pytest.param("-_ .:@/+\tp\t1\nu2\tp\t0", id="every mark"),
    ],
)
def test_letters_digits_and_some_marks_are_sound(text: str) -> None:
    assert is_sound(text, 2, 3)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("u1\tp\nu2\tp\t0", id="a field too few"),
        pytest.param("u1\tp\t1\t1\nu2\tp\t0", id="a field too many"),
        pytest.param("u1\tp'\t1\nu2\tp\t0", id="quote"),
        pytest.param("u1\tp\\\t1\nu2\tp\t0", id="backslash"),
        pytest.param("u1\tp\r\t1\nu2\tp\t0", id="carriage return"),
        pytest.param("u1\tpé\t1\nu2\tp\t0", id="beyond ASCII"),
    ],
)
def test_other_lines_are_read_row_by_row(text: str) -> None:
    assert not is_sound(text, 2, 3)


def test_no_line_is_sound() -> None:
    assert is_sound("", 0, 1)
