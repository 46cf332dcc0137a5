"""Boots that died between the cell's row and the end of the build request."""

import json
from datetime import timedelta
from typing import Any

import pytest

from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.process import Finished
from cellmap_migrations.testing.rows import now
from tests.conftest import MakeCloud
from tests.harness import readme, status
from tests.harness.cloud import Cloud
from tests.harness.inside import cellmap_inside
from tests.harness.upgrading import complete, map_cell, stopped

AN_HOUR, A_DAY = timedelta(hours=1), timedelta(days=1, minutes=1)

LEFT_THE_BOOT: dict[str, dict[str, Any]] = {
    "active": {"vm_state": "active"},
    "in error": {"vm_state": "error"},
    "without a state": {"vm_state": None},
    "deleted": {"vm_state": "building", "deleted": True},
}

PAGE = readme.section(
    readme.DOCS / "troubleshooting.rst", "A boot has not ended for a day"
)

RESULTS = {"check": "differences", "repair": "left_differences"}


def add_boot(
    cell: Cell, age: timedelta, *, deleted: bool = False, **columns: object
) -> str:
    """Add an instance with a build request whose mapping has no cell."""
    created_at = now() - age
    uuid = cell.add_instance(deleted=deleted, created_at=created_at, **columns)
    cell.api.map_to(None, [uuid])
    cell.api.request_build(uuid)
    return uuid


def request_id(cloud: Cloud, uuid: str) -> int:
    """Return the id of the build request of an instance."""
    rows = cloud.rows("build_requests")
    return next(int(row["id"]) for row in rows if row["instance_uuid"] == uuid)


def look(cloud: Cloud, command: str, *options: str) -> tuple[Finished, dict[str, str]]:
    """Run check or repair of the first cell; return the reason for each uuid left."""
    arguments = ["--cell", "cell1", "--output", "json", *options]
    finished = cellmap_inside(cloud, command, *arguments)
    found = json.loads(finished.out)[RESULTS[command]]
    reasons = {
        uuid: f"{kind}: {why}"
        for kind, listed in found.items()
        for uuid, why in zip(listed["uuids"], listed["why"], strict=True)
    }
    return finished, reasons


@pytest.mark.parametrize("columns", LEFT_THE_BOOT.values(), ids=LEFT_THE_BOOT)
def test_instance_that_has_left_its_boot_gets_its_cell(
    make_cloud: MakeCloud, columns: dict[str, Any]
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuid = add_boot(cell, AN_HOUR, **columns)
    young = add_boot(cell, timedelta(0), **columns)

    checked, found = look(cloud, "check")
    ended = map_cell(cloud, cell)

    assert (checked.code, found) == (3, {uuid: "no_cell: "})
    assert complete(filled=1, in_flight=1) == ended
    assert cloud.mapped_uuids(cell) == {uuid}
    assert cloud.mappings()[young].cell_id is None


def test_repair_gives_an_instance_that_has_left_its_boot_its_cell(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuid = add_boot(cell, AN_HOUR, vm_state="error")

    finished, left = look(cloud, "repair")

    assert (finished.code, left) == (0, {})
    assert cloud.mapped_uuids(cell) == {uuid}


def test_boot_of_more_than_a_day_stops_the_stamp_and_nothing_else(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    first, last = cell.add_instance(), cell.add_instance()
    died = add_boot(cell, A_DAY, vm_state="building")

    ended = map_cell(cloud, cell)

    assert stopped(65, mapped=2, in_flight=1) == ended
    assert cloud.mapped_uuids(cell) == {first, last}
    request = f"with build request {request_id(cloud, died)}:"
    [line] = [line for line in ended.listing() if died in line]
    assert line.startswith(f"in_flight {died} building for more than a day, {request}")


def test_every_command_names_a_boot_of_more_than_a_day(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    died = add_boot(cell, A_DAY, vm_state="building")
    before = cloud.mappings()

    dry = cellmap_inside(cloud, "upgrade", "--cell", "cell1", "--dry-run")
    looked = [look(cloud, *words) for words in (("check",), ("repair", "--dry-run"))]
    repaired = look(cloud, "repair")

    assert (dry.code, died in dry.err) == (65, True)
    codes = [finished.code for finished, _ in (*looked, repaired)]
    assert codes == [3, 65, 65]
    request = f"with build request {request_id(cloud, died)}:"
    for _, found in (*looked, repaired):
        assert found.keys() == {died}
        assert found[died].startswith("in_flight: building for more than a day, ")
        assert request in found[died]
    assert cloud.mappings() == before


def test_upgrade_check_finds_a_boot_among_others(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cloud.map_to(cell.id, cell.add_instances(30))
    died = add_boot(cell, A_DAY, vm_state="building")
    cloud.map_to(cell.id, cell.add_instances(30))

    checked = status.check(cloud)

    assert checked.results["cell1"] == status.FAILURE
    found = f"in_flight {died} building for more than a day, with build request "
    assert f"{found}{request_id(cloud, died)}:" in checked.details["cell1"]


def perform(cloud: Cloud, command: str) -> int:
    """Run a command of the page; do to the rows what nova's API would do."""
    program, verb, *arguments = command.split()
    if program == "cellmap":
        return cellmap_inside(cloud, verb, *arguments).code
    if program == "openstack":
        [_, uuid] = arguments
        requests = cloud.tables["build_requests"]
        cell_id = cloud.mappings()[uuid].cell_id
        cloud.queue_for_delete(uuid)
        if cell_id is None:
            cloud.execute(requests.delete().filter_by(instance_uuid=uuid))
        else:
            [cell] = [cell for cell in cloud.cells if cell.id == cell_id]
            cell.delete(uuid)
    return 0


def test_commands_of_the_page_delete_a_boot_that_died(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    commands = readme.commands(PAGE)
    uuid = next(line.split()[-1] for line in commands if "server delete" in line)
    add_boot(cell, A_DAY, vm_state="building", uuid=uuid)
    refused = map_cell(cloud, cell).code

    codes = [perform(cloud, command) for command in commands]

    assert (refused, codes) == (65, [0] * 5)
    assert cloud.mapped_uuids(cell) == {uuid}
    assert cloud.versions() == {cell.uuid: "0003"}


def test_statement_of_the_page_lets_the_upgrade_end(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    [statement] = readme.sql("API database: build request of a boot that died")
    uuid = statement.split("'")[1]
    add_boot(cell, A_DAY, vm_state="building", uuid=uuid)
    map_cell(cloud, cell)

    cloud.sql(statement)
    ended = map_cell(cloud, cell)

    assert (ended.code, ended.stamped) == (0, True)
    assert cloud.mapped_uuids(cell) == {uuid}
