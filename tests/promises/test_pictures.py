"""The pictures of README.rst show what the program prints, and what its page says."""

from tests.harness import readme
from tools import pictures, screenshot

TERMINAL = readme.DOCS / "terminal.svg"

REPORT = readme.DOCS / "report.png"


def test_picture_shows_what_is_printed_on_a_terminal() -> None:
    # So many that the speed is printed as well.
    now = pictures.picture(instances=20_000)

    assert pictures.words(TERMINAL.read_text()) == pictures.words(now), (
        "out of date: run make pictures"
    )


def test_terminal_shows_the_progress_and_the_end() -> None:
    shown = pictures.words(TERMINAL.read_text())

    assert "BAR NUMBER% NUMBER rows" in shown
    assert "NUMBER mapped" in shown
    assert shown.endswith("current NUMBER (head) ")


def test_picture_shows_what_the_page_of_a_report_says() -> None:
    now = screenshot.picture()

    assert screenshot.words(REPORT.read_bytes()) == screenshot.words(now), (
        "out of date: run make pictures"
    )


def test_terminal_loads_nothing_and_is_small() -> None:
    svg = TERMINAL.read_text()

    assert "url(http" not in svg
    assert "href" not in svg
    assert len(svg) < 16_000


def test_picture_of_the_report_is_small() -> None:
    assert REPORT.stat().st_size < 150_000


def test_readme_shows_each_picture() -> None:
    shown = readme.README.read_text()

    for name in ("docs/terminal.svg", "docs/report.png", "benchmarks/results.svg"):
        assert f".. image:: {name}\n" in shown
