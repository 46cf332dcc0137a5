"""Stdout has results only: text, or one JSON object."""

import json
import os
import subprocess
import sys

import pytest

from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.process import Extra, Finished
from tests.harness.cloud import ROOT, Cloud
from tests.harness.inside import alembic_inside

UNKNOWN = "11111111-2222-3333-4444-555555555555"


@pytest.fixture
def cell(cloud: Cloud) -> Cell:
    """A cell, the only one, with an instance."""
    cell = cloud.add_cell("cell1")
    cell.add_instance()
    return cell


FAILURES: list[tuple[str | None, Extra, int]] = [
    (None, {}, 78),
    (UNKNOWN, {}, 78),
    ("cell1", {"nonsense": "1"}, 78),
    ("cell1", {"max_rows": "none"}, 78),
    ("cell1", {"config_file": "/nonexistent/nova.conf"}, 78),
    ("cell1", {"time_limit": "0.000001"}, 75),
    ("broken", {}, 78),
]


@pytest.mark.parametrize(("selector", "x", "code"), FAILURES)
def test_json_is_one_object_on_one_line_also_on_failure(
    cloud: Cloud, cell: Cell, selector: str | None, x: Extra, code: int
) -> None:
    cloud.add_cell("broken", connection="no url")
    options: Extra = {"output": "json", **x}

    finished = alembic_inside(cloud, "upgrade", "head", cell=selector, x=options)

    [line] = finished.out.splitlines()
    result = json.loads(line)
    uuid = cell.uuid if result["name"] == "cell1" else result["cell"]
    assert uuid == result["cell"]
    assert (code, code, False) == (
        finished.code,
        result["exit_code"],
        result["complete"],
    )
    assert f"error: {result['reason']}" == finished.err.splitlines()[-1]


def test_json_of_a_success_has_the_promised_names(cloud: Cloud, cell: Cell) -> None:
    options = {"output": "json"}

    finished = alembic_inside(cloud, "upgrade", "0001", cell="cell1", x=options)

    [line] = finished.out.splitlines()
    result = json.loads(line)
    assert (result["cell"], result["name"]) == (cell.uuid, "cell1")
    assert (result["revision"], result["complete"]) == ("0001", True)
    assert (result["exit_code"], result["reason"]) == (0, "")
    assert (result["mapped"], result["rejected"]) == (1, 0)
    assert {"seconds", "rows_per_second"} < result.keys()


def test_nothing_to_do_leaves_stdout_empty(cloud: Cloud, cell: Cell) -> None:
    first = alembic_inside(cloud, "upgrade", "head", cell=cell.uuid)

    second = alembic_inside(cloud, "upgrade", "head", cell=cell.uuid)

    assert first.out.startswith(f"cell1 ({cell.uuid}): 1 mapped in ")
    assert (second.code, second.out, second.err) == (0, "", "")


def test_nothing_to_do_is_still_one_object_for_programs(
    cloud: Cloud, cell: Cell
) -> None:
    alembic_inside(cloud, "upgrade", "head", cell=cell.uuid)

    options = {"output": "json"}
    finished = alembic_inside(cloud, "upgrade", "head", cell=cell.uuid, x=options)

    result = json.loads(finished.out)
    assert (result["complete"], result["mapped"], finished.err) == (True, 0, "")


CONSOLE, CHECK = "cellmap_migrations.cli", "cellmap_migrations.cli.upgrade_check"

NEEDED = [
    ["cells"],
    ["cells", "--output", "uuid"],
    ["cells", "--output", "json"],
    ["status"],
    ["journal", "--cell", "cell1"],
    ["config-path"],
    ["upgrade", "--cell", "cell1", "--output", "json"],
    ["upgrade", "--cell", "all", "--output", "json"],
]


def into(cloud: Cloud, stdout: str, module: str, arguments: list[str]) -> Finished:
    """Run a command whose stdout is what a shell makes of *stdout*."""
    execute = f'import os, sys; os.execvp("sh", ["sh", "-c", {stdout!r}, *sys.argv])'
    config = ["--config-file", str(cloud.config_file)]
    command = [sys.executable, "-m", module, *config, *arguments]
    return cloud.run("-c", execute, *command).wait()


@pytest.mark.parametrize("arguments", NEEDED, ids=" ".join)
def test_output_that_is_lost_is_no_success(
    cloud: Cloud, cell: Cell, arguments: list[str]
) -> None:
    alembic_inside(cloud, "upgrade", "head", cell=cell.uuid)

    finished = into(cloud, 'exec "$@" >/dev/full', CONSOLE, arguments)

    *_, last = finished.err.splitlines()
    assert (finished.code, finished.err.count("error: ")) == (75, 1)
    assert last.startswith("error: the output could not be written: No space left")


def test_output_that_is_lost_does_not_hide_the_error(cloud: Cloud, cell: Cell) -> None:
    arguments = ["upgrade", "--cell", UNKNOWN, "--output", "json"]

    finished = into(cloud, 'exec "$@" >/dev/full', CONSOLE, arguments)

    lost, last = finished.err.splitlines()
    assert (finished.code, cloud.mapped_uuids(cell)) == (78, set())
    assert lost.startswith("error: the output could not be written: ")
    assert last.startswith(f"error: no cell {UNKNOWN!r}")


@pytest.mark.parametrize("stdout", [">&-", "1</dev/null"])
@pytest.mark.parametrize("arguments", NEEDED[1:4], ids=" ".join)
def test_stdout_may_be_closed(
    cloud: Cloud, cell: Cell, arguments: list[str], stdout: str
) -> None:
    alembic_inside(cloud, "upgrade", "head", cell=cell.uuid)

    finished = into(cloud, f'exec "$@" {stdout}', CONSOLE, arguments)

    assert (finished.code, finished.err) == (0, "")


def test_nobody_needs_to_read(cloud: Cloud, cell: Cell) -> None:
    config = ["--config-file", str(cloud.config_file)]
    command = [sys.executable, "-m", CONSOLE, *config, "cells", "--cell", cell.uuid]
    reader, writer = os.pipe()
    os.close(reader)

    done = subprocess.run(
        command, cwd=ROOT, check=False, stdout=writer, stderr=subprocess.PIPE
    )
    os.close(writer)

    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("json_too", [[], ["--json"]], ids=["table", "JSON"])
def test_upgrade_check_whose_output_is_lost_has_not_checked(
    cloud: Cloud, cell: Cell, json_too: list[str]
) -> None:
    alembic_inside(cloud, "upgrade", "head", cell=cell.uuid)
    arguments = ["upgrade", "check", *json_too]

    finished = into(cloud, 'exec "$@" >/dev/full', CHECK, arguments)

    [line] = finished.err.splitlines()
    assert finished.code == 255
    assert line.startswith("error: the output could not be written: ")
