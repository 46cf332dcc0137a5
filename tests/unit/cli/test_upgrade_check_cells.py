"""``cellmap-status upgrade check``: what it says of a cell."""

import re
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from cellmap_migrations.common.stopping import Stopping
from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.config import text
from cellmap_migrations.testing.servers.daemon import free_port
from tests.conftest import MakeCloud
from tests.harness import second_look, status
from tests.harness.cloud import Cloud
from tests.harness.inside import alembic_inside, cellmap_inside
from tests.harness.status import FAILURE, SUCCESS, WARNING


def upgrade_all(cloud: Cloud) -> None:
    """Bring all cells to the last revision."""
    assert alembic_inside(cloud, "upgrade", "head", cell="all").code == 0


def close(cloud: Cloud, *names: str) -> None:
    """Let cells be at a port where nobody listens."""
    table = cloud.tables["cell_mappings"]
    for name in names:
        # Each its own database, or they would be refused.
        url = f"mysql+pymysql://nova@127.0.0.1:{free_port()}/{name}"
        update = table.update().filter_by(name=name)
        cloud.execute(update.values(database_connection=url))


@pytest.mark.parametrize(
    ("revision", "found"), [(None, "no revision"), ("0002", "revision 0002")]
)
def test_cell_that_is_behind_fails_until_the_command_that_is_told_has_run(
    cloud: Cloud, revision: str | None, found: str
) -> None:
    cell = cloud.add_cell("my cell")
    if revision:
        alembic_inside(cloud, "upgrade", revision, cell="my cell")

    checked = status.check(cloud)
    said = checked.details["my cell"]
    command = re.findall(r": run (cellmap [^;]*)", said)
    finished = cellmap_inside(cloud, *command[0].split()[1:])
    after = status.check(cloud)

    assert (checked.code, checked.results["my cell"]) == (FAILURE, FAILURE)
    assert said.startswith(f"at {found}, and the last one is 0003: run ")
    assert command == [f"cellmap upgrade --cell {cell.uuid}"]
    assert (finished.code, after.results["my cell"]) == (0, SUCCESS)


def test_cell_that_cannot_be_upgraded_is_told_no_command(
    make_cloud: MakeCloud, backend: str
) -> None:
    cloud = make_cloud()
    cloud.add_cell("null", connection=None)
    empty = cloud.create_database("empty", backend, sa.MetaData())
    cloud.add_cell("empty", connection=text(empty))

    checked = status.check(cloud)

    assert checked.results["null"] == checked.results["empty"] == FAILURE
    assert "0003; cell null (" in checked.details["null"]
    assert "so it is no nova cell database" in checked.details["empty"]
    assert "cellmap upgrade" not in "".join(checked.details.values())


def changed(column: str, value: object) -> Callable[[Cell, Cell], object]:
    """Return what changes a column of a right mapping."""

    def change(cell: Cell, _: Cell) -> None:
        cell.api.map(cell.add_instance(), cell, **{column: value})

    return change


def kind(outcome: str) -> Callable[[Cell, Cell], object]:
    """Return what adds an instance that an upgrade would count as *outcome*."""
    return lambda cell, other: cell.add_kind(outcome, other)


def orphan(cell: Cell, _: Cell) -> None:
    """Add a mapping without an instance."""
    cell.api.map("11111111-2222-4333-8444-555555555555", cell)


def without_flag(cell: Cell, _: Cell) -> None:
    """Add a deleted instance whose mapping says otherwise."""
    cell.api.map(cell.add_instance(deleted=True), cell, queued_for_delete=False)


KINDS: dict[str, tuple[Callable[[Cell, Cell], object], int]] = {
    "right": (kind("already"), SUCCESS),
    "unmapped": (kind("mapped"), FAILURE),
    "no_cell": (kind("filled"), FAILURE),
    "wrong_cell": (kind("moved"), FAILURE),
    "conflict": (kind("conflict"), FAILURE),
    "rejected": (kind("rejected"), FAILURE),
    "unresolved": (kind("unresolved"), WARNING),
    "orphan": (orphan, WARNING),
    "queued_for_delete": (without_flag, WARNING),
    "user_id": (changed("user_id", "another"), WARNING),
    "project_id": (changed("project_id", "another"), WARNING),
    "queued": (changed("queued_for_delete", True), SUCCESS),
}


def test_differences_are_as_grave_as_what_they_do_to_servers(cloud: Cloud) -> None:
    cells = {name: cloud.add_cell(name) for name in ("another", *KINDS)}
    upgrade_all(cloud)
    for name, (add, _) in KINDS.items():
        add(cells[name], cells["another"])

    checked = status.check(cloud)

    expected = {name: result for name, (_, result) in KINDS.items()}
    assert {name: checked.results[name] for name in KINDS} == expected
    named = {name: f"1 {name}" in checked.details[name] for name in KINDS}
    assert named == {name: expected[name] != SUCCESS for name in KINDS}


def test_difference_that_is_gone_at_the_second_look_is_none(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = cloud.add_cell("cell1")
    upgrade_all(cloud)
    booting = cell.add_instance()

    def wait(_: Stopping, __: float) -> None:
        cloud.map(booting, cell)

    monkeypatch.setattr(Stopping, "wait", wait)

    with second_look.in_earnest():
        checked = status.check(cloud)

    assert cloud.mapped_uuids(cell) == {booting}
    assert checked.results["cell1"] == SUCCESS
    assert "no difference" in checked.details["cell1"]


def test_rejected_instance_is_a_warning_where_it_is_skipped(cloud: Cloud) -> None:
    cloud.configure(cellmap={"on_reject": "skip"})
    cell = cloud.add_cell("cell1")
    cell.add_kind("rejected", cell)
    upgrade_all(cloud)

    checked = status.check(cloud)

    assert checked.results["cell1"] == WARNING


def test_cell_that_is_down_is_a_warning_of_its_own(cloud: Cloud) -> None:
    cloud.configure(cellmap={"connect_timeout": 1})
    for name in ("down", "cell1"):
        cloud.add_cell(name).add_instance()
    upgrade_all(cloud)
    close(cloud, "down")

    checked = status.check(cloud)

    assert (checked.results["down"], checked.results["cell1"]) == (WARNING, SUCCESS)
    assert checked.code == WARNING
    assert "not reached within 1 s" in checked.details["down"]


def test_cell_that_is_down_and_behind_fails(cloud: Cloud) -> None:
    cloud.configure(cellmap={"connect_timeout": 1})
    cloud.add_cell("down")
    close(cloud, "down")

    checked = status.check(cloud)

    assert checked.results["down"] == FAILURE


def test_cell_that_has_to_be_corrected_fails(cloud: Cloud) -> None:
    cloud.add_cell("cell1")
    upgrade_all(cloud)
    table = cloud.tables["cell_mappings"]
    cloud.execute(table.update().values(database_connection=None))

    checked = status.check(cloud)

    assert checked.results["cell1"] == FAILURE
    assert "database_connection is NULL" in checked.details["cell1"]


def test_every_row_is_compared(cloud: Cloud) -> None:
    cell = cloud.add_cell("cell1")
    cloud.map_to(cell.id, cell.add_instances(200), user_id="another")

    checked = status.check(cloud)

    found = "compared all instances and mappings: 200 user_id"
    assert found in checked.details["cell1"]
