"""Instances that cannot have a mapping never block the others."""

from typing import Any

import pytest

from tests.conftest import MakeCloud
from tests.harness import poison
from tests.harness.upgrading import Ended, complete, map_cell, stopped

NO_PROJECT = "project_id is NULL, and a mapping must have one"

NO_USER = "user_id is NULL, and such a mapping breaks unified limits"


def listed(ended: Ended, uuid: str) -> str:
    """Return the line that an operator reads about a rejected instance."""
    start = f"rejected {uuid} "
    [line] = [line for line in ended.listing() if line.startswith(start)]
    return line.removeprefix(start)


def test_live_instance_without_project_or_user_is_rejected(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    projectless = cell.add_instance(project_id=None)
    good = cell.add_instance()
    userless = cell.add_instance(user_id=None)

    ended = map_cell(cloud, cell)

    assert stopped(65, rejected=2, mapped=1) == ended
    assert {good} == cloud.mapped_uuids(cell)
    assert (listed(ended, projectless), listed(ended, userless)) == (
        NO_PROJECT,
        NO_USER,
    )
    assert ended.err.splitlines()[-1] == (
        f"error: cell cell1 ({cell.uuid}): 2 rejected left as they are and listed "
        "above. Nothing else blocks the revision. Decide about these rows, then run "
        "again"
    )


def test_deleted_instance_needs_a_project_and_no_user(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    good = cell.add_instance(deleted=True, user_id=None)
    bad = cell.add_instance(deleted=True, project_id=None, user_id=None)

    ended = map_cell(cloud, cell)

    assert stopped(65, rejected=1, mapped=1) == ended
    assert {good} == cloud.mapped_uuids(cell)
    assert listed(ended, bad) == NO_PROJECT


def test_mapped_instance_without_project_or_user_is_no_concern(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cloud.map(cell.add_instance(project_id=None, user_id=None), cell)
    cloud.map(cell.add_instance(project_id=None, user_id=None), None)

    ended = map_cell(cloud, cell)

    assert complete(already=1, filled=1) == ended


def test_rejected_instances_can_be_skipped(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    bad, good = cell.add_instance(project_id=None), cell.add_instance()

    ended = map_cell(cloud, cell, on_reject="skip")

    assert complete(rejected=1, mapped=1) == ended
    assert {good} == cloud.mapped_uuids(cell)
    assert listed(ended, bad) == NO_PROJECT


def test_eleventh_rejected_instance_is_counted_and_not_listed(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(11, project_id=None)

    ended = map_cell(cloud, cell)

    assert stopped(65, rejected=11) == ended
    lines = [line for line in ended.listing() if line.startswith("rejected")]
    assert sum(uuid in line for uuid in uuids for line in lines) == 10
    assert lines[-1] == "rejected and 1 more"


@pytest.mark.parametrize("place", [0, 3, 6], ids=["first", "middle", "last"])
def test_row_that_the_database_refuses_is_alone_rejected(
    make_cloud: MakeCloud, place: int
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    good = cell.add_instances(place)
    bad = cell.add_instance(project_id=poison.PROJECT)
    good += cell.add_instances(6 - place)
    poison.poison(cloud)

    ended = map_cell(cloud, cell)

    assert stopped(65, rejected=1, mapped=6) == ended
    assert set(good) == cloud.mapped_uuids(cell)
    assert poison.MESSAGE in listed(ended, bad)


def test_refused_row_is_mapped_once_the_database_takes_it(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    bad, good = cell.add_instance(project_id=poison.PROJECT), cell.add_instance()
    poison.poison(cloud)
    map_cell(cloud, cell)
    poison.cure(cloud)

    ended = map_cell(cloud, cell)

    assert (ended.code, ended.told, ended.stamped) == (0, {"mapped": 1}, True)
    assert {bad, good} == cloud.mapped_uuids(cell)


def test_rejected_row_is_mapped_once_it_has_a_project(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    bad, good = cell.add_instance(project_id=None), cell.add_instance()
    map_cell(cloud, cell)
    cell.update(bad, project_id="mended")

    ended = map_cell(cloud, cell)

    assert (ended.code, ended.told, ended.stamped) == (0, {"mapped": 1}, True)
    assert {bad, good} == cloud.mapped_uuids(cell)
    assert cloud.mappings()[bad].project_id == "mended"


@pytest.mark.parametrize(
    "columns",
    [
        pytest.param({"uuid": "0" * 37}, id="uuid of 37 characters"),
        pytest.param({"project_id": "p" * 256}, id="project of 256 characters"),
    ],
)
def test_value_that_only_sqlite_holds_is_rejected(
    make_cloud: MakeCloud, backend: str, columns: dict[str, Any]
) -> None:
    cloud = make_cloud(cell_backend="sqlite")
    cell = cloud.add_cell("cell1")
    good = cell.add_instances(3)
    bad = cell.add_instance(**columns)

    ended = map_cell(cloud, cell)

    if backend == "sqlite":
        assert complete(mapped=4) == ended
    else:
        assert stopped(65, rejected=1, mapped=3) == ended
        assert set(good) == cloud.mapped_uuids(cell)
        assert "too long" in listed(ended, bad)
