"""The revision of a report is the one that is recorded, however the run ended."""

import json
from pathlib import Path
from typing import Any

import pytest

from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.process import Finished
from tests.conftest import MakeCloud
from tests.harness.cloud import Cloud
from tests.harness.inside import alembic_inside, cellmap_inside
from tests.harness.waiting import stop, wait_for

JSON = ("--output", "json")


def at(cloud: Cloud, name: str, revision: str) -> Cell:
    """Add a cell of one instance, and bring it to a revision."""
    cell = cloud.add_cell(name)
    cell.add_instance()
    assert alembic_inside(cloud, "upgrade", revision, cell=cell.uuid).code == 0
    return cell


def told(finished: Finished) -> tuple[int, str | None]:
    """Return the exit code and the revision that JSON has of the one cell."""
    result: dict[str, Any] = json.loads(finished.out)
    return finished.code, result["revision"]


def test_check_that_finds_a_difference_tells_it(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = at(cloud, "cell1", "0002")
    cell.add_instance()

    finished = cellmap_inside(cloud, "check", "--cell", "cell1", *JSON)

    assert told(finished) == (3, "0002")


def test_cell_that_is_wrong_has_it(cloud: Cloud) -> None:
    at(cloud, "cell1", "0001")
    table = cloud.tables["cell_mappings"]
    cloud.execute(table.update().values(database_connection=None))

    x = {"output": "json"}
    finished = alembic_inside(cloud, "upgrade", "head", cell="cell1", x=x)

    assert told(finished) == (78, "0001")


def test_cell_that_was_never_upgraded_has_none(cloud: Cloud) -> None:
    cloud.add_cell("cell1")

    finished = cellmap_inside(cloud, "check", "--cell", "cell1", *JSON)

    assert told(finished) == (0, None)


def test_run_that_was_stopped_tells_what_it_has_recorded(
    make_cloud: MakeCloud, tmp_path: Path
) -> None:
    cloud = make_cloud()
    cell = at(cloud, "cell1", "head")
    pause_file = tmp_path / "pause"
    pause_file.touch()
    cloud.configure(cellmap={"pause_file": pause_file})
    x = {"output": "json", "remove_mappings": "yes"}

    running = cloud.start("downgrade", "base", cell="cell1", x=x)
    # There it waits before it removes the first mapping.
    wait_for(lambda: cloud.versions() == {cell.uuid: "0001"}, "a downgrade to 0001")
    finished = stop(running)

    assert told(finished) == (75, "0001")
    assert len(cloud.mapped_uuids(cell)) == 1


@pytest.mark.only_on("mysql")
def test_revision_that_cannot_be_read_does_not_change_the_end(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    at(cloud, "cell1", "head").add_instance()

    with cloud.engine.connect() as connection:
        connection.exec_driver_sql("LOCK TABLES cellmap_version WRITE")
        finished = cellmap_inside(cloud, "check", "--cell", "cell1", *JSON)
        connection.exec_driver_sql("UNLOCK TABLES")

    assert told(finished) == (3, None)
    assert "differs from its mappings" in finished.err.splitlines()[-1]


@pytest.mark.parametrize(
    "arguments", [("--canary", "canary"), ("--time-limit", "0")], ids=" ".join
)
def test_cell_whose_turn_never_came_has_it(
    cloud: Cloud, arguments: tuple[str, ...]
) -> None:
    canary, waiting = cloud.add_cell("canary"), at(cloud, "waiting", "0002")
    canary.add_instance(project_id=None)

    command = ("upgrade", "--cell", "all", *arguments)
    [_, cell] = json.loads(cloud.cellmap(*command, *JSON).out)["cells"]
    [*_, line] = cloud.cellmap(*command).out.splitlines()

    assert (cell["cell"], cell["exit_code"]) == (waiting.uuid, 75)
    assert cell["revision"] == "0002"
    assert line.split()[:3] == ["waiting", f"({waiting.uuid})", "0002"]
