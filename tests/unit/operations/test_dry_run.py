"""A dry run counts and ends as the upgrade would, and writes nothing at all."""

import json
import re
from typing import Any
from unittest.mock import Mock

import pytest

from cellmap_migrations.bookkeeping.tables import COUNTS
from cellmap_migrations.comparing.differences import examined_pages
from cellmap_migrations.nova.rules import Outcome
from cellmap_migrations.operations import preview
from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.config import text
from tests.conftest import MakeCloud
from tests.harness.cloud import Cloud
from tests.harness.inside import cellmap_inside

LEFT = {Outcome.CONFLICT, Outcome.UNRESOLVED, Outcome.REJECTED}

WELL = [outcome for outcome in Outcome if outcome not in LEFT]


def counted(cloud: Cloud, *options: str) -> dict[str, Any]:
    """Upgrade the first cell, and return what the JSON says of it."""
    arguments = ["--cell", cloud.cells[0].uuid, "--output", "json", *options]
    result: dict[str, Any] = json.loads(
        cellmap_inside(cloud, "upgrade", *arguments).out
    )
    return result


def look(cloud: Cloud, *options: str) -> dict[str, Any]:
    """Do the same as a dry run, with a user who may only SELECT."""
    reader = cloud.server(cloud.url.get_backend_name()).readonly(cloud.url)
    cloud.configure(api_database={"connection": text(reader)})
    result = counted(cloud, "--dry-run", *options)
    cloud.configure(api_database={"connection": text(cloud.url)})
    return result


def told(result: dict[str, Any]) -> dict[str, int]:
    """Return the counts that are not 0, and the exit code."""
    return {name: result[name] for name in (*COUNTS, "exit_code") if result[name]}


def add_wrong_values(cloud: Cloud, cell: Cell, other: Cell) -> None:
    """Add rows that the later revisions correct, one of them in two columns."""
    cloud.map(cell.add_instance(deleted=True), cell, user_id=None)
    cloud.map(cell.add_instance(deleted=True), None)
    cloud.map(cell.add_instance(deleted=True), other, user_id="another")
    cloud.map(cell.add_instance(user_id=None), cell, queued_for_delete=None)


@pytest.mark.only_on("mysql", "postgresql")
def test_counts_are_those_of_the_upgrade_that_follows(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell, other = cloud.add_cell("cell1"), cloud.add_cell("cell2")
    for outcome in WELL:
        cell.add_kind(outcome.value, other)
    add_wrong_values(cloud, cell, other)
    before = cloud.mappings()

    expected = look(cloud)
    found = cloud.mappings(), cloud.our_tables()
    upgraded = counted(cloud)

    assert found == (before, set())
    assert (expected["dry_run"], "dry_run" in upgraded) == (True, False)
    assert told(expected) == told(upgraded)
    assert {outcome.value for outcome in WELL} < told(expected).keys()
    assert told(expected)["mended"] == 5


def test_later_revisions_alone_count_what_they_would_mend(cloud: Cloud) -> None:
    cell, other = cloud.add_cell("cell1"), cloud.add_cell("cell2")
    counted(cloud, "0001")
    add_wrong_values(cloud, cell, other)

    expected = look(cloud)

    assert told(expected) == told(counted(cloud))
    assert told(expected)["mended"] > 0


def test_later_revisions_use_the_comparison_of_the_first(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell, other = cloud.add_cell("cell1"), cloud.add_cell("cell2")
    add_wrong_values(cloud, cell, other)
    compare = Mock(side_effect=examined_pages)
    monkeypatch.setattr(preview, "examined_pages", compare)

    expected = look(cloud)

    assert compare.call_count == 1
    assert told(expected) == told(counted(cloud))
    assert told(expected)["mended"] > 0


def test_mappings_that_the_upgrade_adds_count_for_every_revision(cloud: Cloud) -> None:
    cell = cloud.add_cell("cell1")
    gone = [f"{number}0000000-0000-4000-8000-000000000000" for number in range(10)]
    cloud.map_to(cell.id, gone, queued_for_delete=True)
    cell.add_instances(30)

    expected = look(cloud)

    assert told(expected) == told(counted(cloud))
    assert expected["exit_code"] == 0


@pytest.mark.parametrize("outcome", [Outcome.REJECTED, Outcome.UNRESOLVED])
def test_exit_code_and_list_are_those_of_the_upgrade(
    cloud: Cloud, outcome: Outcome
) -> None:
    cell, other = cloud.add_cell("cell1"), cloud.add_cell("cell2")
    uuid = cell.add_kind(outcome.value, other)

    seen = cellmap_inside(cloud, "upgrade", "--cell", "cell1", "--dry-run")
    done = cellmap_inside(cloud, "upgrade", "--cell", "cell1")

    assert seen.code in (65, 75)
    assert (seen.code, seen.err) == (done.code, done.err)
    assert uuid in seen.err


def test_mapped_instances_that_are_not_compared_are_counted_once(cloud: Cloud) -> None:
    cell = cloud.add_cell("cell1")
    cloud.map_to(cell.id, cell.add_instances(3))
    cloud.map(cell.add_instance(hidden=True), cell)
    cloud.map(cell.add_kind("placeholder", cell), cell)
    cell.add_instances(2)

    expected = look(cloud)

    assert told(expected) == told(counted(cloud))
    assert (expected["already"], expected["hidden"], expected["placeholder"]) == (
        3,
        1,
        1,
    )


def test_time_limit_ends_a_dry_run(cloud: Cloud) -> None:
    cloud.add_cell("cell1").add_instances(3)

    result = look(cloud, "--time-limit", "0")

    assert (result["exit_code"], cloud.mappings()) == (75, {})
    assert result["mapped"] == 0


def test_dry_run_counts_all_rows_and_ends_as_an_upgrade_of_some(cloud: Cloud) -> None:
    cloud.add_cell("cell1").add_instances(3)

    result = look(cloud, "--max-rows", "2")

    assert (result["exit_code"], cloud.mappings()) == (75, {})
    assert result["mapped"] == 3


def test_text_says_that_nothing_was_done(cloud: Cloud) -> None:
    cells = [cloud.add_cell(name) for name in ("cell1", "cell2")]
    for cell in cells:
        cell.add_instances(3)

    one = cellmap_inside(cloud, "upgrade", "--cell", "cell1", "--dry-run")
    several = cloud.cellmap("upgrade", "--cell", "all", "--dry-run")

    _, *lines = several.out.splitlines()
    assert re.fullmatch(r"cell1 \(.*\): dry run: 3 mapped in .*\n", one.out)
    assert [line.count("dry run: 3 mapped") for line in lines] == [1, 1]
    assert (one.code, several.code, cloud.our_tables()) == (0, 0, set())
