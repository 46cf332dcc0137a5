"""The page is safe wherever it is opened, and its numbers are those of the journal."""

import json
import re
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from cellmap_migrations.common import secrets
from cellmap_migrations.output.html.model import Lost
from cellmap_migrations.output.html.page import digest, percent, render, segments
from cellmap_migrations.output.html.timeline import make_timeline
from tests.harness import page


def embedded(html: str) -> list[list[str]]:
    """Return the rows in the JSON of the page."""
    [text] = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', html)
    found: list[list[str]] = json.loads(text)
    return found


def test_policy_allows_exactly_the_style_and_the_script_of_the_page() -> None:
    html = render(page.fleet(2, 3))

    styles = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    [policy] = re.findall(r'Policy" content="(.*?)"', html)
    allowed = re.findall(r"(\w+)-src &#39;(.*?)&#39;", policy)
    assert allowed == [
        ("default", "none"),
        ("style", digest(styles[0])),
        ("script", digest(scripts[0])),
    ]
    assert (len(styles), len(scripts)) == (1, 1)
    assert not re.search(r"\sstyle=|\son\w+=", html)


def test_text_from_a_database_is_not_markup() -> None:
    name = "</script><img src=x onerror=alert(1)>'\"&"
    hostile = replace(page.decision(1), cell=name, why=name, command=name, uuid=name)
    cell = replace(page.cell(0, undecided=1), name=name, problem=name, runner=name)
    cloud = replace(page.fleet(1, 0), cells=[cell], decisions=[hostile], api=name)

    html = render(cloud)

    assert "<img" not in html
    assert embedded(html) == [[name, name, "rejected", name, name]]


def test_passwords_and_control_characters_are_masked_everywhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(secrets, "KNOWN", set())
    secrets.remember("s3cr3t")
    text = "s3cr3t \x1b[2J mysql://nova:other@db/nova"
    row = replace(page.decision(1), cell=text, why=text, command=f"{text}\nnext")
    cell = replace(page.cell(0, undecided=1), name=text, problem=text, database=text)
    cloud = replace(page.fleet(1, 0), cells=[cell], decisions=[row], api=text)

    html = render(cloud)

    assert "s3cr3t" not in html
    assert "other@" not in html
    assert "\x1b" not in html
    masked = "*** \\x1b[2J mysql://***"
    assert embedded(html)[0][1:] == [masked, "rejected", masked, f"{masked}\nnext"]


def test_page_is_ascii_so_that_no_locale_changes_it() -> None:
    cloud = replace(page.fleet(1, 1), api="Prüfung ✓")

    html = render(cloud)

    assert html.isascii()
    assert "Pr&#252;fung" in html


@pytest.mark.parametrize(
    ("share", "text"),
    [(None, "-"), (1, "100 %"), (0.99999, "99.9 %"), (0.5, "50.0 %"), (0, "0.0 %")],
)
def test_only_everything_is_100_percent(share: float | None, text: str) -> None:
    assert percent(share) == text


def test_bar_is_as_long_as_its_parts() -> None:
    parts = segments(Counter(mapped=1, already=3, moved=0))

    assert parts == [("mapped", 1, 0, 25), ("already", 3, 25, 75)]


def test_cell_without_instances_is_wholly_mapped() -> None:
    cell = replace(page.cell(1), needing=0, mapped=0)

    assert cell.share == 1


def test_cell_is_good_only_if_nobody_has_to_do_anything() -> None:
    good = page.cell(1)
    others = [
        replace(good, undecided=1),
        replace(good, correctable={"orphan": 1}),
        replace(good, problem="no answer"),
        replace(good, state="behind"),
    ]

    assert [cell.good for cell in (good, *others)] == [True, *[False] * 4]


def test_numbers_of_the_cloud_are_the_sums_of_its_cells() -> None:
    cloud = page.fleet(3, 10)

    assert cloud.total("instances") == 3 * 1219
    assert cloud.share == (3 * 1217 - 10) / (3 * 1217)
    assert cloud.lost == Lost(before=3600, now=10, after=10)
    assert (cloud.good, cloud.undecided) == (2, 10)


def test_numbers_that_no_cell_knows_are_not_zero() -> None:
    cell = replace(page.cell(1), instances=None, needing=None, mapped=None, lost=None)
    cloud = replace(page.fleet(1, 0), cells=[cell])

    assert (cloud.total("instances"), cloud.share, cloud.lost) == (None, None, None)


def test_timeline_has_every_row_and_the_pause() -> None:
    batches = page.batches()

    timeline = make_timeline("cell1", batches)

    assert timeline
    width = (timeline.end - timeline.start).total_seconds() / len(timeline.throughput)
    rows = sum(value * width for _, value in timeline.throughput)
    assert round(rows) == timeline.rows == sum(each["rows_read"] for each in batches)
    [pause] = timeline.pauses
    assert (pause.seconds, pause.reason) == (299.5, "replica db2 is 12 s behind")
    quiet = [
        value
        for time, value in timeline.throughput
        if pause.start + timedelta(seconds=9) < time < pause.end - timedelta(seconds=9)
    ]
    assert quiet
    assert set(quiet) == {0}


def test_timeline_shows_the_newest_walk_only() -> None:
    old = [
        {**each, "started_at": each["started_at"] - timedelta(days=3)}
        for each in page.batches()
    ]

    both = make_timeline("cell1", old + page.batches(200))

    assert both == make_timeline("cell1", page.batches(200))


def test_pauses_before_each_batch_are_joined() -> None:
    batches = [
        {**each, "paused": 0.4, "pause_reason": "sleep_ratio"}
        for each in page.batches()[:200]
    ]

    timeline = make_timeline("cell1", batches)

    assert timeline
    assert [pause.reason for pause in timeline.pauses] == ["sleep_ratio"]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_walk_of_a_moment_has_no_timeline(count: int) -> None:
    assert make_timeline("cell1", page.batches(600)[:count]) is None
