"""The page of ``cellmap report`` in a browser: it is quick, quiet and usable by all."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from cellmap_migrations.output.html.model import Page
from cellmap_migrations.output.html.page import render
from tests.harness import page
from tests.harness.browser import SCHEMES, Browser, opened
from tests.harness.waiting import wait_for

CELLS, ROWS = 1_000, 10_000

FIRST = "#decisions tbody tr:first-child"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start the browser once."""
    with opened() as browser:
        yield browser


def written(content: Page, folder: Path) -> Path:
    """Write the page of *content* to a file."""
    path = folder / "report.html"
    path.write_text(render(content), encoding="ascii")
    return path


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the page of a large cloud to a file."""
    return written(page.fleet(CELLS, ROWS), tmp_path_factory.mktemp("large"))


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Write the page of a small cloud to a file."""
    return written(page.fleet(4, 60), tmp_path)


def test_large_page_opens_within_two_seconds(browser: Browser, large: Path) -> None:
    before = browser.seconds()

    browser.open(large)
    # The browser has drawn it.
    browser.run("return document.body.offsetHeight")

    assert browser.seconds() - before < 2
    assert browser.texts("#cells tbody th")[-1] == f"cell{CELLS - 1}"
    assert browser.one(".toolbar output").text == "10,000 rows"


def test_page_loads_nothing_and_the_console_is_empty(
    browser: Browser, small: Path
) -> None:
    browser.open(small)
    browser.one("#decisions thead button").click()

    assert browser.requests() == [small.as_uri()]
    assert browser.complaints() == []


@pytest.mark.parametrize(
    ("rows", "width", "scheme"),
    [(12, 400, "dark"), (12, 1400, "light"), (0, 1400, "dark")],
)
def test_page_has_no_serious_fault_of_accessibility(
    browser: Browser, tmp_path: Path, rows: int, width: int, scheme: str
) -> None:
    browser.open(written(page.fleet(3, rows), tmp_path), width=width, scheme=scheme)

    assert browser.faults() == []


def test_page_of_an_empty_cloud_says_so(browser: Browser, tmp_path: Path) -> None:
    browser.open(written(page.empty(), tmp_path))

    assert "There are no cells" in browser.one(".verdict").text
    assert browser.faults() == []
    assert browser.complaints() == []


@pytest.mark.parametrize("width", [320, 1400])
def test_page_is_as_wide_as_the_window(
    browser: Browser, small: Path, width: int
) -> None:
    browser.open(small, width=width)

    assert browser.run("return document.documentElement.scrollWidth") <= width


def test_dark_mode_is_dark(browser: Browser, small: Path) -> None:
    script = "return getComputedStyle(document.body).backgroundColor"

    colours = {}
    for scheme in SCHEMES:
        browser.open(small, scheme=scheme)
        colours[scheme] = browser.run(script)

    assert colours == {"light": "rgb(255, 255, 255)", "dark": "rgb(15, 19, 24)"}


def test_filter_finds_the_rows_with_all_words(browser: Browser, large: Path) -> None:
    browser.open(large)

    browser.one(".toolbar input").send_keys("CELL3 conflict 0000000")

    expected = [
        row.uuid
        for row in map(page.decision, range(ROWS))
        if (row.cell, row.kind) == ("cell3", "conflict")
    ]
    assert browser.one(".toolbar output").text == f"{len(expected)} of 10,000 rows"
    assert browser.texts("#decisions tbody th") == expected[:100]


def test_more_rows_are_shown_on_demand(browser: Browser, large: Path) -> None:
    browser.open(large)

    before = len(browser.texts("#decisions tbody tr"))
    browser.run("arguments[0].click()", browser.one("#more"))

    assert (before, len(browser.texts("#decisions tbody tr"))) == (100, 200)
    # The keyboard goes on at the first new row.
    assert browser.run("return document.activeElement.closest('tr').rowIndex") == 101


def test_column_is_sorted_by_keyboard_and_says_so(
    browser: Browser, large: Path
) -> None:
    browser.open(large)
    heading = "#decisions thead th:nth-child(2)"
    button = browser.one(f"{heading} button")

    cells, directions = [], []
    for _ in range(2):
        button.send_keys(Keys.ENTER)
        cells.append(browser.one(f"{FIRST} td").text)
        directions.append(browser.one(heading).get_attribute("aria-sort"))

    assert cells == ["cell0", "cell6"]
    assert directions == ["ascending", "descending"]


def test_numbers_are_sorted_by_size(browser: Browser, tmp_path: Path) -> None:
    cells = [page.cell(number, undecided=number) for number in (9, 100, 20)]
    browser.open(written(replace(page.fleet(1, 0), cells=cells), tmp_path))

    browser.one("#cells thead th:nth-child(8) button").click()

    assert browser.texts("#cells tbody th") == ["cell9", "cell20", "cell100"]


def test_filtered_rows_are_copied_as_a_table(browser: Browser, small: Path) -> None:
    browser.open(small)
    browser.one(".toolbar input").send_keys(page.decision(7).uuid)

    browser.one(".toolbar .copy-all").click()

    row = page.decision(7)
    fields = (row.uuid, row.cell, row.kind, row.why, f'"{row.command}"')
    heading = "Instance\tCell\tKind\tWhy\tDecided by"
    wait_for_copy(browser, "\n".join((heading, "\t".join(fields))))


def test_command_of_a_row_is_copied(browser: Browser, small: Path) -> None:
    browser.open(small)

    browser.one(f"{FIRST} .copy").click()

    wait_for_copy(browser, page.decision(0).command)


def test_button_that_was_clicked_twice_has_its_name_again(
    browser: Browser, small: Path
) -> None:
    browser.open(small)
    browser.run("window.late = []; window.setTimeout = (work) => late.push(work)")
    button = browser.one(f"{FIRST} .copy")

    button.click()
    wait_for(lambda: browser.run("return late.length") == 1, "a copy")
    button.click()
    wait_for(lambda: browser.run("return late.length") == 2, "another copy")
    copied = button.text
    browser.run("late.forEach((work) => work())")

    assert (copied, button.text) == ("Copied", "Copy")


def test_one_row_is_called_a_row(browser: Browser, tmp_path: Path) -> None:
    browser.open(written(page.fleet(2, 1), tmp_path))

    assert browser.texts(".toolbar output") == ["1 row", "2 rows"]


@pytest.mark.parametrize("width", [400, 760, 1150, 1160])
def test_table_of_decisions_is_not_cut_off(
    browser: Browser, small: Path, width: int
) -> None:
    browser.open(small, width=width)

    script = "const each = arguments[0]; return each.scrollWidth - each.clientWidth"
    table = browser.one(".scroll:has(#decisions)")
    assert browser.run(script, table) == 0


def wait_for_copy(browser: Browser, expected: str) -> None:
    """Return when the clipboard has the *expected* text."""
    browser.command(
        "Browser.grantPermissions",
        permissions=["clipboardReadWrite", "clipboardSanitizedWrite"],
    )
    script = "navigator.clipboard.readText().then(arguments[0], arguments[0])"
    wait_for(
        lambda: browser.driver.execute_async_script(script) == expected, "the copy"
    )


def test_page_without_javascript_shows_the_first_rows(
    browser: Browser, large: Path
) -> None:
    browser.command("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(large)
        rows = browser.driver.find_elements("css selector", "#decisions tbody tr")
        hint = browser.one("noscript p").text
        toolbar = browser.one(".toolbar").is_displayed()
    finally:
        browser.command("Emulation.setScriptExecutionDisabled", value=False)

    assert (len(rows), toolbar) == (50, False)
    assert "first 50 rows of 10,000" in hint


def test_pauses_are_shaded_and_listed(browser: Browser, small: Path) -> None:
    browser.open(small)

    reason = "replica db2 is 12 s behind"
    assert browser.texts(".chart .pause title") == [f"paused for 300 s: {reason}"] * 2
    assert [
        text.rpartition(" 0:05:00 ")[2] for text in browser.texts(".pauses li")
    ] == [reason]
