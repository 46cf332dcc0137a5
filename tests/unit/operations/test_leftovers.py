"""Rows that 0001 leaves keep 0002 and 0003 from no other row; only the stamps wait."""

import json
from typing import Any

import pytest

from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.rows import USER
from tests.conftest import MakeCloud
from tests.harness.cloud import Cloud
from tests.harness.inside import alembic_inside, cellmap_inside


def half_wrong(cloud: Cloud) -> tuple[Cell, str, str]:
    """Add cell1; return a deleted server with a false flag, and one without a user."""
    cell = cloud.add_cell("cell1")
    gone, lost = cell.add_instance(deleted=True), cell.add_instance()
    cloud.map(gone, cell, queued_for_delete=False)
    cloud.map(lost, cell, user_id=None)
    return cell, gone, lost


def leave(cloud: Cloud, cell: Cell, kind: str) -> None:
    """Add a server that an upgrade leaves as *kind*."""
    other = cloud.add_cell("cell2")
    cell.add_kind(kind, other)
    if kind == "unresolved":
        cloud.lead(other, None)


def upgrade_json(
    cloud: Cloud, revision: str, **x: str
) -> tuple[int, dict[str, Any], str]:
    """Upgrade cell1; return the exit code, the JSON and stderr."""
    options = {"output": "json", "connect_timeout": "1", **x}
    ended = alembic_inside(cloud, "upgrade", revision, cell="cell1", x=options)
    return ended.code, json.loads(ended.out), ended.err


@pytest.mark.parametrize(
    ("kind", "code"), [("rejected", 65), ("conflict", 65), ("unresolved", 75)]
)
def test_all_other_rows_are_mended_in_the_same_run(
    make_cloud: MakeCloud, kind: str, code: int
) -> None:
    cloud = make_cloud()
    cell, gone, lost = half_wrong(cloud)
    leave(cloud, cell, kind)

    ended, result, err = upgrade_json(cloud, "head")
    again = upgrade_json(cloud, "head")[1]

    assert (ended, result["mended"], result[kind], result["revision"]) == (
        *(code, 2, 1, None),
    )
    mappings = cloud.mappings()
    assert (mappings[gone].queued_for_delete, mappings[lost].user_id) == (True, USER)
    assert cloud.versions() == {}
    listed = [line for line in err.splitlines() if line.startswith(kind)]
    assert (len(listed), again["mended"], again["exit_code"]) == (1, 0, code)


@pytest.mark.parametrize(("revision", "flag"), [("0001", False), ("0002", True)])
def test_only_the_revisions_that_were_asked_for_are_done(
    make_cloud: MakeCloud, revision: str, *, flag: bool
) -> None:
    cloud = make_cloud()
    cell, gone, lost = half_wrong(cloud)
    cell.add_instance(project_id=None)

    ended = upgrade_json(cloud, revision)[0]

    mappings = cloud.mappings()
    assert (ended, cloud.versions()) == (65, {})
    assert (mappings[gone].queued_for_delete, mappings[lost].user_id) == (flag, None)


def test_error_of_a_later_revision_ends_the_run(make_cloud: MakeCloud) -> None:
    cloud = make_cloud(release="rocky")
    cell = cloud.add_cell("cell1")
    gone = cell.add_instance(deleted=True)
    cloud.map(gone, cell, queued_for_delete=False)
    cell.add_instance(project_id=None)

    code, result, err = upgrade_json(cloud, "head")

    assert (code, result["rejected"], cloud.versions()) == (78, 1, {})
    assert cloud.mappings()[gone].queued_for_delete
    assert "rejected" in err


def test_dry_run_counts_what_would_be_mended_beside_a_rejected_row(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    half_wrong(cloud)[0].add_instance(project_id=None)

    ended = cellmap_inside(cloud, "upgrade", "--cell", "cell1", "--dry-run")

    assert ended.code == 65
    assert "2 mended" in ended.out
    assert "1 rejected" in ended.out
