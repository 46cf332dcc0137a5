"""The picture of README.rst shows what the program prints."""

from tests.harness import readme
from tools import pictures

PICTURE = readme.DOCS / "terminal.svg"


def test_picture_shows_what_is_printed_on_a_terminal() -> None:
    # So many that the speed is printed as well.
    now = pictures.picture(instances=20_000)

    assert pictures.words(PICTURE.read_text()) == pictures.words(now), (
        "out of date: run make pictures"
    )


def test_picture_loads_nothing_and_is_small() -> None:
    svg = PICTURE.read_text()

    assert "url(http" not in svg
    assert "href" not in svg
    assert len(svg) < 16_000
