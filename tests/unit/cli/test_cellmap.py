"""The console script: one cell at a time it is alembic, with the same ends."""

import json
from collections.abc import Callable
from importlib import metadata

import pytest

from cellmap_migrations.cli import main as cli_main
from cellmap_migrations.cli import upgrade_check
from cellmap_migrations.cli.main import COMMANDS
from cellmap_migrations.testing.cell import Cell
from tests.harness.cloud import Cloud
from tests.harness.inside import alembic_inside, cellmap_inside, inside

ALL = ("upgrade", "--cell", "all")


@pytest.fixture
def cell(cloud: Cloud) -> Cell:
    """A cell with instances that were never mapped."""
    cell = cloud.add_cell("cell1")
    cell.add_instances(3)
    return cell


def test_upgrade_says_and_does_what_alembic_does(cloud: Cloud, cell: Cell) -> None:
    other = cloud.add_cell("cell2")
    other.add_instances(3)

    ours = cellmap_inside(cloud, "upgrade", "--cell", "cell1", "--output", "json")
    theirs = alembic_inside(
        cloud, "upgrade", "head", cell="cell2", x={"output": "json"}
    )

    results = [json.loads(finished.out) for finished in (ours, theirs)]
    for result in results:
        for name in ("cell", "name", "seconds", "rows_per_second"):
            del result[name]
    assert (ours.code, ours.err) == (theirs.code, theirs.err) == (0, "")
    assert results[0] == results[1]
    assert cloud.versions() == {cell.uuid: "0003", other.uuid: "0003"}


def test_upgrade_to_a_revision(cloud: Cloud, cell: Cell) -> None:
    codes = [
        cellmap_inside(cloud, "upgrade", "--cell", "cell1", revision).code
        for revision in ("0001", "+1")
    ]

    assert (codes, cloud.versions()) == ([0, 0], {cell.uuid: "0002"})


@pytest.mark.parametrize("selector", ["cell1", "all"])
@pytest.mark.parametrize("revision", ["nonsense", "", "0001:0003", "-3", "+7"])
@pytest.mark.parametrize("command", ["upgrade", "downgrade"])
def test_revision_that_there_is_not_is_refused(
    cloud: Cloud, cell: Cell, command: str, revision: str, selector: str
) -> None:
    arguments = ["--cell", selector, "--output", "json", "--", revision]

    finished = cellmap_inside(cloud, command, *arguments)

    [line] = finished.out.splitlines()
    assert (finished.code, json.loads(line)["exit_code"]) == (78, 78)
    assert finished.err.startswith("error: ")
    assert (cloud.our_tables(), len(cell.uuids())) == (set(), 3)


def test_downgrade_asks_for_leave_to_remove_mappings(cloud: Cloud, cell: Cell) -> None:
    cellmap_inside(cloud, "upgrade", "--cell", "cell1")

    refused = cellmap_inside(cloud, "downgrade", "--cell", "cell1", "base")
    kept = cloud.mapped_uuids(cell)
    done = cellmap_inside(
        cloud, "downgrade", "--cell", "cell1", "--remove-mappings", "base"
    )

    assert (refused.code, kept) == (78, set(cell.uuids()))
    assert "--remove-mappings" in refused.err
    assert (done.code, cloud.mappings(), cloud.versions()) == (0, {}, {})


LIMITS = [("--time-limit", "0"), ("--max-rows", "2")]


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("selector", ["cell1", "all"])
def test_limit_ends_with_try_again(
    cloud: Cloud, cell: Cell, limit: tuple[str, str], selector: str
) -> None:
    finished = cloud.cellmap("upgrade", "--cell", selector, *limit)

    assert finished.code == 75
    assert finished.err.splitlines()[-1].startswith("error: stopped: ")
    assert len(cloud.mapped_uuids(cell)) < 3


BAD = [
    ["upgrade"],
    ["upgrade", "--cell", "nonsense"],
    ["upgrade", "--cell", "cell1", "--cell", "nonsense"],
    ["upgrade", "--cell", "cell1", "--time-limit", "soon"],
    ["upgrade", "--cell", "all", "--max-rows", "0"],
    ["upgrade", "--cell", "all", "--jobs", "0"],
    ["upgrade", "--cell", "cell1", "--jobs", "many"],
    ["upgrade", "--cell", "cell1", "--jobs", "9" * 5000],
    ["upgrade", "--canary", "cell1"],
    ["upgrade", "--cell", "all", "--canary", "nonsense", "--missing", "skip"],
    ["upgrade", "--cell", "all", "--canary", "all"],
    ["upgrade", "--cell", "cell1", "--canary", ""],
    ["check"],
    ["status", "--cell", "nonsense"],
    ["journal"],
    ["cells", "--cell", "nonsense"],
    ["--config-file", "/nonexistent/nova.conf", "cells"],
]


@pytest.mark.parametrize("arguments", BAD)
def test_json_is_one_object_also_when_the_command_is_wrong(
    cloud: Cloud, cell: Cell, arguments: list[str]
) -> None:
    finished = cellmap_inside(cloud, *arguments, "--output", "json")

    [line] = finished.out.splitlines()
    result = json.loads(line)
    assert (finished.code, result["exit_code"]) == (78, 78)
    assert finished.err == f"error: {result['reason']}\n"
    assert cloud.mapped_uuids(cell) == set()


SEVERAL = [
    ["--config-file", "/nonexistent/nova.conf", "upgrade", "--cell", "all"],
    ["upgrade", "--cell", "all", "--jobs", "0"],
    ["upgrade", "--cell", "all", "--max-rows", "0"],
    ["upgrade", "--cell", "nonsense", "--canary", "cell1"],
    ["upgrade", "--cell", "nonsense", "--cell", "cell1"],
    ["upgrade", "--cell", "cell1", "--executor", "dask"],
    ["check", "--cell", "all"],
]


@pytest.mark.parametrize("arguments", SEVERAL)
def test_json_of_several_cells_has_only_cells_that_there_are(
    cloud: Cloud, cell: Cell, arguments: list[str]
) -> None:
    # What is wrong for all of these commands, before anybody has looked at a cell.
    cloud.configure(cellmap={"batch_rows_min": 9, "batch_rows_max": 1})

    finished = cellmap_inside(cloud, *arguments, "--output", "json")

    result = json.loads(finished.out)
    assert list(result) == ["cells", "complete", "exit_code", "reason"]
    assert (result["cells"], result["complete"]) == ([], False)
    assert (result["exit_code"], finished.code) == (78, 78)
    assert finished.err == f"error: {result['reason']}\n"
    assert cloud.mapped_uuids(cell) == set()


def test_json_of_several_cells_has_the_gravest_reason(cloud: Cloud, cell: Cell) -> None:
    cell.add_instance(project_id=None)
    cloud.add_cell("broken", connection="no url")

    failed = json.loads(cloud.cellmap(*ALL, "--output", "json").out)
    cloud.execute(cloud.tables["cell_mappings"].delete().filter_by(name="broken"))
    cell.update(cell.uuids()[-1], project_id="project")
    well = json.loads(cloud.cellmap(*ALL, "--output", "json").out)

    assert [each["exit_code"] for each in failed["cells"]] == [65, 78]
    assert failed["reason"] == failed["cells"][1]["reason"]
    assert (well["exit_code"], well["reason"]) == (0, "")


def test_rows_that_are_listed_have_their_cell_above_them(
    cloud: Cloud, cell: Cell
) -> None:
    other = cloud.add_cell("cell2")
    uuids = [each.add_instance(project_id=None) for each in (cell, other)]

    several = cloud.cellmap(*ALL)
    one = cloud.cellmap("upgrade", "--cell", "cell2")

    listed = [line for line in several.err.splitlines() if "error: " not in line]
    assert [line.split()[:2] for line in listed] == [
        ["cell", "cell1"],
        ["rejected", uuids[0]],
        ["cell", "cell2"],
        ["rejected", uuids[1]],
    ]
    assert listed[0] == f"cell cell1 ({cell.uuid}):"
    assert one.err.splitlines()[0].split()[:2] == ["rejected", uuids[1]]


def test_cell_that_is_not_there_yet_may_be_skipped(cloud: Cloud, cell: Cell) -> None:
    one = cellmap_inside(cloud, "upgrade", "--cell", "cell2", "--missing", "skip")
    several = cloud.cellmap(
        "upgrade", "--cell", "cell2", "--cell", "cell1", "--missing", "skip"
    )

    assert (one.code, one.out, several.code) == (0, "", 0)
    assert "no cell 'cell2'" in one.err
    assert cloud.versions() == {cell.uuid: "0003"}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command_has_an_example(cloud: Cloud, command: str) -> None:
    finished = cellmap_inside(cloud, command, "--help")

    assert finished.code == 0
    assert "Example: " in finished.out


def test_check_of_all_cells_says_which_cell_differs(cloud: Cloud, cell: Cell) -> None:
    other = cloud.add_cell("cell2")

    finished = cellmap_inside(cloud, "check", "--cell", "all")

    heading, difference, equal = finished.out.splitlines()
    assert finished.code == 3
    assert heading == f"cell cell1 ({cell.uuid}):"
    assert difference.split()[:2] == ["unmapped", "3"]
    assert equal == f"cell cell2 ({other.uuid}): no differences"


@pytest.mark.parametrize("main", [cli_main.main, upgrade_check.main])
def test_version_is_that_of_the_distribution(
    main: Callable[[list[str]], int],
) -> None:
    finished = inside(main, ["--version"])

    assert (finished.code, finished.err) == (0, "")
    assert finished.out.split() == [metadata.version("cellmap-migrations")]
