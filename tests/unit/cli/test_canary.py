"""The canary is upgraded first, and the others only if it ends with 0."""

import json

import pytest

from cellmap_migrations.testing.cloud import OWN_URL
from tests.harness.books import HEAD
from tests.harness.cloud import Cloud


def test_other_cells_follow_a_canary_that_ends_well(cloud: Cloud) -> None:
    cells = [cloud.add_cell(name) for name in ("cell1", "cell2", "cell3")]
    for cell in cells:
        cell.add_instances(3)

    finished = cloud.cellmap(
        "upgrade", "--cell", "all", "--canary", "cell3", "--jobs", "2"
    )

    _, *lines = finished.out.splitlines()
    assert (finished.code, finished.err) == (0, "")
    assert [line.split()[0] for line in lines] == ["cell3", "cell1", "cell2"]
    assert cloud.versions() == {cell.uuid: HEAD for cell in cells}


def test_other_cells_are_not_started_after_a_canary_that_fails(cloud: Cloud) -> None:
    good, canary = cloud.add_cell("good"), cloud.add_cell("canary")
    good.add_instances(3)
    canary.add_instance(project_id=None)

    finished = cloud.cellmap(
        *("upgrade", "--cell", "good", "--canary", "canary", "--output", "json")
    )

    first, second = json.loads(finished.out)["cells"]
    assert finished.code == 65
    assert (first["cell"], first["exit_code"]) == (canary.uuid, 65)
    assert (second["cell"], second["exit_code"]) == (good.uuid, 75)
    assert "not started" in second["reason"]
    assert "canary" in finished.err.splitlines()[-1]
    assert (cloud.versions(), cloud.mapped_uuids(good)) == ({}, set())


@pytest.mark.parametrize(
    ("connection", "code"),
    [
        pytest.param(None, 78, id="no connection"),
        pytest.param(OWN_URL, 75, id="more rows than it may have"),
    ],
)
def test_other_cells_are_not_started_after_a_canary_that_may_be_repeated(
    cloud: Cloud, connection: str | None, code: int
) -> None:
    good, canary = (
        cloud.add_cell("good"),
        cloud.add_cell("canary", connection=connection),
    )
    good.add_instance()
    canary.add_instances(2)

    finished = cloud.cellmap(
        *("upgrade", "--cell", "good", "--canary", "canary", "--max-rows", "1"),
        *("--output", "json"),
    )

    codes = [cell["exit_code"] for cell in json.loads(finished.out)["cells"]]
    assert (finished.code, codes) == (code, [code, 75])
    assert (cloud.versions(), cloud.mapped_uuids(good)) == ({}, set())


def test_canary_that_is_complete_lets_the_others_go(cloud: Cloud) -> None:
    canary, behind = cloud.add_cell("canary"), cloud.add_cell("behind")
    cloud.alembic("upgrade", "head", cell="canary")

    finished = cloud.cellmap("upgrade", "--cell", "all", "--canary", "canary")

    assert finished.code == 0
    assert cloud.versions() == {canary.uuid: HEAD, behind.uuid: HEAD}
