"""An instance that is mapped to another cell gets the expected outcome."""

from collections.abc import Callable

import pytest

from cellmap_migrations.common.stopping import Stopping
from cellmap_migrations.testing.cell import Cell
from tests.conftest import MakeCloud
from tests.harness.cloud import Cloud
from tests.harness.upgrading import Ended, complete, map_cell, stopped

TwoCells = tuple[Cloud, Cell, Cell]


@pytest.fixture
def two_cells(make_cloud: MakeCloud) -> TwoCells:
    """A cloud with two cells."""
    cloud = make_cloud()
    return cloud, cloud.add_cell("cell1"), cloud.add_cell("cell2")


@pytest.fixture
def at_second_look(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Take a function to be called once, in place of the first wait of the run."""

    def register(work: Callable[[], object]) -> None:
        todo = [work]

        def wait(stopping: Stopping, _seconds: float) -> None:
            stopping.check()
            if todo:
                todo.pop()()

        monkeypatch.setattr(Stopping, "wait", wait)

    return register


def twin(cell: Cell, other: Cell, *, ours: bool, theirs: bool) -> str:
    """Put one instance into both cells, deleted or not, mapped to *other*."""
    uuid = other.add_instance(deleted=theirs)
    cell.add_instance(uuid=uuid, deleted=ours)
    cell.api.map_to(other.id, [uuid])
    return uuid


@pytest.mark.parametrize("theirs", [False, True], ids=["live", "deleted"])
def test_deleted_copy_leaves_the_mapping_to_the_cell_that_has_it(
    two_cells: TwoCells, *, theirs: bool
) -> None:
    cloud, cell, other = two_cells
    uuid = twin(cell, other, ours=True, theirs=theirs)

    ended = map_cell(cloud, cell)

    assert complete(elsewhere=1) == ended
    assert {uuid} == cloud.mapped_uuids(other)


@pytest.mark.parametrize("deleted", [False, True], ids=["live", "deleted"])
def test_mapping_moves_from_a_cell_that_does_not_hold_the_instance(
    two_cells: TwoCells, *, deleted: bool
) -> None:
    cloud, cell, other = two_cells
    uuid = cell.add_instance(deleted=deleted)
    cloud.map(uuid, other)
    before = cloud.mappings()[uuid]

    ended = map_cell(cloud, cell)

    assert complete(moved=1) == ended
    after = cloud.mappings()[uuid]
    assert (cell.id, before.updated_at) == (after.cell_id, after.updated_at)


def test_mapping_moves_from_a_deleted_copy_to_the_live_one(
    two_cells: TwoCells,
) -> None:
    cloud, cell, other = two_cells
    uuid = twin(cell, other, ours=False, theirs=True)

    ended = map_cell(cloud, cell)

    assert complete(moved=1) == ended
    assert {uuid} == cloud.mapped_uuids(cell)


@pytest.mark.parametrize(
    ("task_state", "flag"),
    [(None, True), ("restoring", False)],
    ids=["soft-deleted", "being restored"],
)
def test_mapping_that_moves_has_the_flag_of_its_instance_unless_that_is_restored(
    two_cells: TwoCells, task_state: str | None, *, flag: bool
) -> None:
    cloud, cell, other = two_cells
    uuid = cell.add_instance(vm_state="soft-delete", task_state=task_state)
    cloud.map(uuid, other, queued_for_delete=False)

    ended = map_cell(cloud, cell)

    assert complete(moved=1) == ended
    after = cloud.mappings()[uuid]
    assert (cell.id, flag) == (after.cell_id, after.queued_for_delete)


def test_mapping_stays_with_a_hidden_copy(two_cells: TwoCells) -> None:
    cloud, cell, other = two_cells
    uuid = twin(cell, other, ours=False, theirs=False)
    other.update(uuid, hidden=True)

    ended = map_cell(cloud, cell)

    assert complete(in_flight=1) == ended
    assert {uuid} == cloud.mapped_uuids(other)


def test_instance_live_in_both_cells_is_listed_and_the_others_are_mapped(
    two_cells: TwoCells,
) -> None:
    cloud, cell, other = two_cells
    before, uuid, after = (
        cell.add_instance(),
        twin(cell, other, ours=False, theirs=False),
        cell.add_instance(),
    )

    ended = map_cell(cloud, cell)

    assert stopped(65, conflict=1, mapped=2) == ended
    assert {before, after} == cloud.mapped_uuids(cell)
    assert {uuid} == cloud.mapped_uuids(other)
    why = f"live here, and in cell2 ({other.uuid}) where it is mapped"
    assert f"conflict {uuid} {why}" in ended.listing()


def hidden_there(uuid: str, _: Cell, other: Cell) -> None:
    other.update(uuid, hidden=True)


def hidden_here(uuid: str, cell: Cell, _: Cell) -> None:
    cell.update(uuid, hidden=True)


def remapped(uuid: str, cell: Cell, _: Cell) -> None:
    cell.api.remap(uuid, cell_id=cell.id)


def destroyed_there(uuid: str, _: Cell, other: Cell) -> None:
    other.move_to_shadow(uuid)


Step = Callable[[str, Cell, Cell], None]

DISSOLVED: dict[Step, Ended] = {
    hidden_there: complete(in_flight=1),
    hidden_here: complete(hidden=1),
    remapped: complete(already=1),
    destroyed_there: complete(moved=1),
}


@pytest.mark.parametrize("step", DISSOLVED, ids=lambda step: step.__name__)
def test_conflict_that_a_resize_dissolves_before_the_second_look_is_none(
    two_cells: TwoCells,
    at_second_look: Callable[..., None],
    step: Step,
) -> None:
    cloud, cell, other = two_cells
    uuid = twin(cell, other, ours=False, theirs=False)
    at_second_look(lambda: step(uuid, cell, other))

    ended = map_cell(cloud, cell)

    assert DISSOLVED[step] == ended
