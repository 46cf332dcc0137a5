"""Mappings without a cell whose instance is in no cell."""

import json
from datetime import timedelta

import pytest
import sqlalchemy as sa

from cellmap_migrations.comparing.strays import Strays
from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.config import text
from cellmap_migrations.testing.process import Finished
from cellmap_migrations.testing.rows import CELL0, LONG_AGO, now
from tests.conftest import MakeCloud
from tests.harness.cloud import Cloud
from tests.harness.inside import cellmap_inside
from tests.harness.upgrading import complete, map_cell

STRAY = "11111111-2222-4333-8444-555555555555"

OTHER = "21111111-2222-4333-8444-555555555555"

NO_CELL = "no cell has its instance"


@pytest.fixture
def cloud(make_cloud: MakeCloud) -> Cloud:
    """A cloud with cell0, a cell and a disabled cell, and a mapped server in each."""
    made = make_cloud()
    made.add_cell("cell0", uuid=CELL0)
    made.add_cell("cell1")
    made.add_cell("off", disabled=True)
    for cell in made.cells:
        made.map(cell.add_instance(), cell)
    return made


def run(cloud: Cloud, command: str, *options: str, cell: str = "cell1") -> Finished:
    """Run a command of the console script on a cell, with an answer in JSON."""
    return cellmap_inside(cloud, command, "--cell", cell, "--output", "json", *options)


def named(finished: Finished, which: str) -> dict[str, dict[str, str]]:
    """Return the reason for each uuid that an answer names, by kind."""
    return {
        kind: dict(zip(listed["uuids"], listed["why"], strict=True))
        for kind, listed in json.loads(finished.out)[which].items()
    }


def removals(cloud: Cloud, cell: Cell) -> int:
    """Return how many removed rows the repairs of a cell have in the journal."""
    return sum(row["removed"] for row in cloud.journal(cell))


@pytest.mark.parametrize("cell", ["cell0", "cell1", "off"])
def test_check_of_each_cell_names_a_stray(cloud: Cloud, cell: str) -> None:
    cloud.map(STRAY, None)

    finished = run(cloud, "check", cell=cell)

    found = named(finished, "differences")
    assert (finished.code, found) == (3, {"stray": {STRAY: NO_CELL}})


def test_repair_of_any_cell_removes_a_stray_and_journals_it(cloud: Cloud) -> None:
    cell0, cell1, _ = cloud.cells
    before = cloud.mappings()
    cloud.map(STRAY, None)

    dry = run(cloud, "repair", "--dry-run")
    kept = cloud.mappings().keys()
    repaired = run(cloud, "repair")

    assert named(dry, "mended_differences") == {"stray": {STRAY: NO_CELL}}
    assert STRAY in kept
    assert (repaired.code, cloud.mappings()) == (0, before)
    assert named(repaired, "mended_differences") == {"stray": {STRAY: NO_CELL}}
    assert (removals(cloud, cell1), removals(cloud, cell0)) == (1, 0)
    assert run(cloud, "check").code == run(cloud, "check", cell="off").code == 0


def test_stray_does_not_keep_a_cell_from_its_stamp(cloud: Cloud) -> None:
    cloud.map(STRAY, None)

    ended = map_cell(cloud, cloud.cells[1])

    assert complete(already=1) == ended
    assert STRAY in cloud.mappings()


@pytest.mark.parametrize("number", [0, 1, 2], ids=["cell0", "cell1", "disabled"])
@pytest.mark.parametrize("column", ["deleted", "hidden"])
def test_mapping_of_an_instance_in_any_cell_is_no_stray(
    cloud: Cloud, number: int, column: str
) -> None:
    uuid = cloud.cells[number].add_instance(
        uuid=STRAY,
        deleted=column == "deleted",
        hidden=column == "hidden",
    )
    cloud.map(uuid, None)

    repaired = run(cloud, "repair", cell="cell0" if number else "off")

    assert (repaired.code, named(repaired, "left_differences")) == (0, {})
    assert STRAY in cloud.mappings()


def test_mapping_in_upper_case_of_an_instance_is_no_stray(cloud: Cloud) -> None:
    uuid = cloud.cells[2].add_instance(uuid="abcdef11-2222-4333-8444-555555555555")
    cloud.map(uuid.upper(), None)

    finished = run(cloud, "check")

    assert (finished.code, named(finished, "differences")) == (0, {})


def test_young_mappings_those_being_built_and_markers_are_no_strays(
    cloud: Cloud,
) -> None:
    cloud.map(STRAY, None, created_at=now())
    cloud.map(OTHER, None)
    cloud.request_build(OTHER)
    marker = "INSTANCE_MIGRATION_MARKER"
    cloud.map("11111111 2222 4333 8444 555555555555", None, project_id=marker)

    finished = run(cloud, "check")

    assert (finished.code, named(finished, "differences")) == (0, {})


def test_mapping_as_old_as_the_grace_is_a_stray(cloud: Cloud) -> None:
    cloud.map(STRAY, None, created_at=LONG_AGO, updated_at=now() - timedelta(hours=1))

    assert run(cloud, "check").code == 3


def test_stray_is_left_while_a_cell_cannot_be_asked(cloud: Cloud) -> None:
    off = cloud.cells[2]
    cloud.map(STRAY, None)
    cloud.lead(off, None)
    why = (
        "no cell that can be asked has its instance; left because cell off "
        f"({off.uuid}) cannot be asked"
    )

    checked = run(cloud, "check")
    dry, repaired = run(cloud, "repair", "--dry-run"), run(cloud, "repair")
    kept = cloud.mappings().keys()
    cloud.lead(off, text(off.url))
    again = run(cloud, "repair")

    assert (checked.code, dry.code, repaired.code, again.code) == (3, 0, 0, 0)
    assert named(checked, "differences") == {"stray": {STRAY: why}}
    for finished in (dry, repaired):
        assert named(finished, "mended_differences") == {}
        assert named(finished, "left_differences") == {"stray": {STRAY: why}}
    assert STRAY in kept
    assert STRAY not in cloud.mappings()


def test_stray_is_left_while_another_cell_leads_to_a_wrong_database(
    cloud: Cloud, backend: str
) -> None:
    cell, off = cloud.cells[1:]
    uuid = off.add_instance()
    cloud.map(uuid, None)
    empty = sa.MetaData()
    cell.instances.to_metadata(empty)
    cloud.lead(off, text(cloud.create_database("empty", backend, empty)))

    repaired = run(cloud, "repair")

    [why] = named(repaired, "left_differences")["stray"].values()
    assert "1 of the 1 mappings that name this cell have no instance" in why
    assert uuid in cloud.mappings()


def test_repairs_of_two_cells_remove_a_stray_once(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.map(STRAY, None)
    todo = ["off"]
    remove = Strays.remove

    def late(self: Strays, *arguments: object) -> object:
        for cell in iter(lambda: todo.pop() if todo else None, None):
            assert run(cloud, "repair", cell=cell).code == 0
        return remove(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Strays, "remove", late)

    finished = run(cloud, "repair")

    assert (finished.code, named(finished, "mended_differences")) == (0, {})
    _, cell1, off = cloud.cells
    assert (removals(cloud, cell1), removals(cloud, off)) == (0, 1)


@pytest.mark.parametrize("change", ["cell", "time", "request"])
def test_mapping_that_nova_takes_up_before_the_removal_stays(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    cloud.map(STRAY, None)
    remove = Strays.remove

    def late(self: Strays, *arguments: object) -> object:
        if change == "cell":
            cloud.remap(STRAY, cell_id=cloud.cells[2].id)
        elif change == "time":
            cloud.remap(STRAY, updated_at=now())
        else:
            cloud.request_build(STRAY)
        return remove(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Strays, "remove", late)

    finished = run(cloud, "repair")

    assert (finished.code, named(finished, "mended_differences")) == (0, {})
    assert STRAY in cloud.mappings()
