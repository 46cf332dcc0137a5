"""``check`` names what differs, and nothing else."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias

import pytest
import sqlalchemy as sa

from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.process import Finished
from cellmap_migrations.testing.rows import PROJECT, USER, now
from tests.conftest import MakeCloud
from tests.harness.cloud import Cloud
from tests.harness.results import differences

Mutation: TypeAlias = Callable[[Cloud, Cell, str], dict[str, set[str]]]


def check(cloud: Cloud, cell: Cell) -> Finished:
    """Run alembic's check on a cell."""
    return cloud.alembic("check", cell=cell.uuid, x={"output": "json"})


@dataclass(frozen=True)
class Column:
    """Changes one column of a mapping, and names the kind of difference that makes."""

    name: str
    value: object

    def __call__(self, cloud: Cloud, _: Cell, uuid: str) -> dict[str, set[str]]:
        cloud.remap(uuid, **{self.name: self.value})
        return {self.name: {uuid}}


def no_mapping(cloud: Cloud, _: Cell, uuid: str) -> dict[str, set[str]]:
    cloud.unmap(uuid)
    return {"unmapped": {uuid}}


def no_cell(cloud: Cloud, _: Cell, uuid: str) -> dict[str, set[str]]:
    cloud.remap(uuid, cell_id=None)
    return {"no_cell": {uuid}}


def wrong_cell(cloud: Cloud, _: Cell, uuid: str) -> dict[str, set[str]]:
    other = cloud.add_cell("other")
    cloud.remap(uuid, cell_id=other.id)
    return {"wrong_cell": {uuid}}


def two_live_copies(cloud: Cloud, _: Cell, uuid: str) -> dict[str, set[str]]:
    other = cloud.add_cell("other")
    other.add_instance(uuid=uuid)
    cloud.remap(uuid, cell_id=other.id)
    return {"conflict": {uuid}}


def no_instance(_: Cloud, cell: Cell, uuid: str) -> dict[str, set[str]]:
    cell.move_to_shadow(uuid)
    return {"orphan": {uuid}}


def one_more_instance(_: Cloud, cell: Cell, __: str) -> dict[str, set[str]]:
    return {"unmapped": {cell.add_instance()}}


def one_more_mapping(cloud: Cloud, cell: Cell, _: str) -> dict[str, set[str]]:
    extra = "11111111-2222-4333-8444-555555555555"
    cloud.map(extra, cell)
    return {"orphan": {extra}}


def one_more_without_project(_: Cloud, cell: Cell, __: str) -> dict[str, set[str]]:
    return {"rejected": {cell.add_instance(project_id=None)}}


def upper_case(cloud: Cloud, _: Cell, uuid: str) -> dict[str, set[str]]:
    cloud.remap(uuid, instance_uuid=uuid.upper())
    return {"unmapped": {uuid}, "orphan": {uuid.upper()}}


def null_project_of_another(_: Cloud, cell: Cell, uuid: str) -> dict[str, set[str]]:
    cell.update(uuid, project_id="another")
    return {"project_id": {uuid}}


def deleted_now(_: Cloud, cell: Cell, uuid: str) -> dict[str, set[str]]:
    cell.update(uuid, deleted=cell.instances.c.id)
    return {"queued_for_delete": {uuid}}


def soft_deleted_now(_: Cloud, cell: Cell, uuid: str) -> dict[str, set[str]]:
    cell.update(uuid, vm_state="soft-delete")
    return {"queued_for_delete": {uuid}}


def null_user_in_cell(_: Cloud, cell: Cell, uuid: str) -> dict[str, set[str]]:
    cell.update(uuid, user_id=None)
    return {"user_id": {uuid}}


MUTATIONS: dict[str, Mutation] = {
    "no mapping": no_mapping,
    "no cell": no_cell,
    "wrong cell": wrong_cell,
    "two live copies": two_live_copies,
    "no instance": no_instance,
    "one more instance": one_more_instance,
    "one more mapping": one_more_mapping,
    "one more without project": one_more_without_project,
    "upper case uuid": upper_case,
    "other project": Column("project_id", "another"),
    "project with trailing space": Column("project_id", PROJECT + " "),
    "project in upper case": Column("project_id", PROJECT.upper()),
    "empty project": Column("project_id", ""),
    "other project in the cell": null_project_of_another,
    "other user": Column("user_id", "another"),
    "user with trailing space": Column("user_id", USER + " "),
    "user in upper case": Column("user_id", USER.upper()),
    "NULL user": Column("user_id", None),
    "empty user": Column("user_id", ""),
    "NULL user in the cell": null_user_in_cell,
    "NULL flag": Column("queued_for_delete", None),
    "deleted": deleted_now,
    "soft-deleted": soft_deleted_now,
}


@pytest.fixture
def complete(make_cloud: MakeCloud) -> tuple[Cloud, Cell]:
    """Make a cloud whose only cell is right."""
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cloud.map_to(cell.id, cell.add_instances(3000))
    gone = cell.add_instance(deleted=True)
    cloud.map(gone, cell, queued_for_delete=True)
    nobody = cell.add_instance(deleted=True, user_id=None)
    cloud.map(nobody, cell, queued_for_delete=True, user_id=None)
    return cloud, cell


def test_a_right_cell_has_no_differences(complete: tuple[Cloud, Cell]) -> None:
    cloud, cell = complete

    finished = check(cloud, cell)

    assert (finished.code, differences(finished), finished.err) == (0, {}, "")


def test_each_change_in_one_row_is_named_exactly(
    complete: tuple[Cloud, Cell],
) -> None:
    cloud, cell = complete
    expected: dict[str, set[str]] = {}
    for victim, mutate in zip(apart(cell), MUTATIONS.values(), strict=False):
        for kind, uuids in mutate(cloud, cell, victim).items():
            expected.setdefault(kind, set()).update(uuids)

    finished = check(cloud, cell)

    assert (finished.code, differences(finished)) == (3, expected)


def apart(cell: Cell) -> list[str]:
    """Return instances of which no two are in one chunk, so each must be noticed."""
    by_chunk = {uuid[:3]: uuid for uuid in cell.uuids()[:3000]}
    return list(by_chunk.values())


def test_first_and_last_uuid_of_chunks_are_compared(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    edges = [
        f"{prefix}{fill * 5}-{fill * 4}-{fill * 4}-{fill * 4}-{fill * 12}"
        for prefix in ("000", "00f", "100", "7ff", "abc", "fff")
        for fill in "0f"
    ]
    for uuid in edges[1:]:
        cell.add_instance(uuid=uuid)

    finished = check(cloud, cell)

    # Three zeros and then zeros only is nova's placeholder.
    assert differences(finished) == {"unmapped": set(edges[1:11])}
    assert json.loads(finished.out)["differences"]["unmapped"]["count"] == 11


def test_null_and_empty_user_of_a_deleted_instance_differ(
    complete: tuple[Cloud, Cell],
) -> None:
    cloud, cell = complete
    nobody = cell.uuids()[-1]
    cloud.remap(nobody, user_id="")

    finished = check(cloud, cell)

    assert differences(finished) == {"user_id": {nobody}}


def test_queued_instance_that_is_not_deleted_yet_is_no_difference(
    complete: tuple[Cloud, Cell],
) -> None:
    cloud, cell = complete
    queued = cell.uuids()[7]
    cloud.queue_for_delete(queued)

    finished = check(cloud, cell)

    assert (finished.code, differences(finished)) == (0, {"queued": {queued}})


def test_check_names_the_same_rows_when_cell_and_api_run_different_systems(
    make_cloud: MakeCloud, backend: str
) -> None:
    others = {"sqlite": "mysql", "mysql": "postgresql", "postgresql": "mysql"}
    cloud = make_cloud(cell_backend=others[backend])
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(500)
    cloud.map_to(cell.id, uuids)
    cloud.remap(uuids[3], instance_uuid=uuids[3].upper())
    cloud.remap(uuids[4], user_id=USER + " ")
    cloud.unmap(uuids[5])

    finished = check(cloud, cell)

    assert differences(finished) == {
        "unmapped": {uuids[3], uuids[5]},
        "orphan": {uuids[3].upper()},
        "user_id": {uuids[4]},
    }


def test_text_has_a_line_for_each_kind_and_the_error_last(
    complete: tuple[Cloud, Cell],
) -> None:
    cloud, cell = complete
    one, two = cell.uuids()[:2]
    cloud.unmap(one)
    cloud.remap(two, user_id=None)

    finished = cloud.alembic("check", cell="cell1")

    assert finished.code == 3
    assert [line.split() for line in sorted(finished.out.splitlines())] == [
        ["unmapped", "1", one],
        ["user_id", "1", two],
    ]
    assert finished.err.splitlines()[-1].startswith("error: cell cell1")


def test_check_needs_nothing_but_select_and_leaves_nothing(
    make_cloud: MakeCloud, backend: str
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(20)
    server = cloud.server(backend)
    reader = server.readonly(cloud.url)
    cloud.configure(
        api_database={"connection": reader.render_as_string(hide_password=False)}
    )

    finished = check(cloud, cell)

    assert finished.code == 3
    assert json.loads(finished.out)["differences"]["unmapped"]["count"] == len(uuids)
    assert not sa.inspect(cloud.engine).has_table("cellmap_journal")


def test_boot_in_flight_is_no_difference(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    young = cell.add_instance(created_at=now())
    cloud.map(young, None)
    an_hour_ago = now() - timedelta(hours=1)
    requested = cell.add_instance(created_at=an_hour_ago, vm_state="building")
    cloud.map(requested, None)
    cloud.request_build(requested)

    finished = check(cloud, cell)

    assert (finished.code, differences(finished)) == (0, {})


def test_instance_of_a_cell_that_is_down_leaves_check_undecided(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    down = cloud.add_cell("down", connection=None)
    uuid = cell.add_instance()
    cloud.map(uuid, down)

    finished = check(cloud, cell)

    assert (finished.code, differences(finished)) == (75, {"unresolved": {uuid}})


@pytest.mark.parametrize("column", ["project_id", "user_id"])
def test_check_shows_both_values_of_a_wrong_column(
    make_cloud: MakeCloud, column: str
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuid = cell.add_instance()
    cell.update(uuid, **{column: "right"})
    cloud.map(uuid, cell, **{column: "wrong"})
    both = "'wrong' in its mapping, 'right' in the cell"

    as_text = cloud.cellmap("check", "--cell", "cell1")
    as_json = cloud.cellmap("check", "--cell", "cell1", "--output", "json")

    assert f"{column:<18}{uuid}  {both}" in as_text.err
    assert json.loads(as_json.out)["differences"][column]["why"] == [both]
