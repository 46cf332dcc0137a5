"""Values are corrected only in rows that are still as they were read."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from cellmap_migrations.databases import mysql
from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.process import Finished
from cellmap_migrations.testing.rows import USER
from tests.conftest import MakeCloud
from tests.harness.books import total
from tests.harness.cloud import Cloud
from tests.harness.inside import alembic_inside, cellmap_inside, upgrade
from tests.harness.results import differences, named, repair

# A part of the statement that reads the mappings of a batch and locks them.
LOCKING = "AS locked_id"

UPDATING = "UPDATE instance_mappings"

# Each goes through SQL, JSON and the lines in which servers send rows.
ODD_USERS = (
    "o'brien",
    'say "hi"',
    "back\\slash\\n",
    "tab\there",
    "line\nbreak",
    "percent % %s %(x)s",
    "zoë",
    "日本",
    "-",
    "=1",
    "",
    " leading",
    "null",
    "[1, 2]",
    "Case",
    "case",
)


@contextmanager
def acting(words: str, act: Callable[[], object]) -> Iterator[list[str]]:
    """Call *act* before the first statement with *words*; yield these statements.

    The statements of *act* do not count.
    """
    seen: list[str] = []
    silent = [False]

    def before(_: Any, __: Any, statement: str, *___: Any) -> None:
        if words in statement and not silent[0]:
            seen.append(statement)
            if len(seen) == 1:
                silent[0] = True
                act()
                silent[0] = False

    sa.event.listen(sa.Engine, "before_cursor_execute", before)
    try:
        yield seen
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", before)


def mended(finished: Finished) -> int:
    """Return how many mappings an upgrade has corrected, if it ended well."""
    assert finished.code == 0, finished.err
    return int(json.loads(finished.out)["mended"])


def flagged(cloud: Cloud) -> dict[str, bool | None]:
    """Return the flags of all mappings, by the uuid."""
    return {uuid: row.queued_for_delete for uuid, row in cloud.mappings().items()}


@pytest.fixture
def cloud(make_cloud: MakeCloud) -> Cloud:
    """Return a cloud on each database."""
    return make_cloud()


@pytest.fixture
def cell(cloud: Cloud) -> Cell:
    """Return a cell with nothing in it."""
    return cloud.add_cell("cell1")


def add_wrong_flags(cloud: Cloud, cell: Cell, count: int) -> list[str]:
    """Add soft-deleted instances, of which no mapping has the flag."""
    uuids = cell.add_instances(count, vm_state="soft-delete")
    cloud.map_to(cell.id, uuids, queued_for_delete=False)
    return uuids


def test_instance_that_nova_restores_after_the_look_keeps_its_flag(
    cloud: Cloud, cell: Cell
) -> None:
    restored, *others = add_wrong_flags(cloud, cell, 3)

    with acting(LOCKING, lambda: cell.update(restored, vm_state="active")) as seen:
        finished = upgrade(cloud, "0002", output="json")

    assert seen
    assert mended(finished) == 2
    assert flagged(cloud) == {restored: False} | dict.fromkeys(others, True)


def test_mapping_that_gets_another_cell_after_the_look_is_left(
    cloud: Cloud, cell: Cell
) -> None:
    other = cloud.add_cell("other")
    moved, *others = add_wrong_flags(cloud, cell, 3)
    other.add_instance(uuid=moved)

    with acting(LOCKING, lambda: cloud.remap(moved, cell_id=other.id)):
        finished = upgrade(cloud, "0002", output="json")

    assert mended(finished) == 2
    assert flagged(cloud) == {moved: False} | dict.fromkeys(others, True)


def test_user_that_nova_sets_after_the_look_is_not_counted(
    cloud: Cloud, cell: Cell
) -> None:
    uuids = cell.add_instances(4)
    cloud.map_to(cell.id, uuids, user_id=None)

    with acting(LOCKING, lambda: cloud.remap(uuids[0], user_id=USER)):
        finished = upgrade(cloud, output="json")

    assert mended(finished) == 3
    assert {row.user_id for row in cloud.mappings().values()} == {USER}


def must_wait(cloud: Cloud, uuid: str) -> bool:
    """Return True if a second session cannot change the mapping within a second."""
    limits = {
        "mysql": "SET innodb_lock_wait_timeout = 1",
        "postgresql": "SET LOCAL lock_timeout = '1s'",
    }
    table = cloud.instance_mappings
    update = sa.update(table).where(table.c.instance_uuid == uuid)
    try:
        with cloud.engine.begin() as connection:
            connection.exec_driver_sql(limits[cloud.url.get_backend_name()])
            connection.execute(update.values(project_id="another"))
    except sa.exc.OperationalError:
        return True
    return False


@pytest.mark.only_on("mysql", "postgresql")
def test_nova_waits_for_the_rows_of_a_batch_and_for_no_other(
    cloud: Cloud, cell: Cell
) -> None:
    [live] = cell.add_instances(1)
    cloud.map_to(cell.id, [live])
    [wrong] = add_wrong_flags(cloud, cell, 1)
    waited: dict[str, bool] = {}

    def look() -> None:
        waited.update({uuid: must_wait(cloud, uuid) for uuid in (live, wrong)})

    with acting(UPDATING, look):
        finished = upgrade(cloud, "0002", output="json")

    assert waited == {live: False, wrong: True}
    assert mended(finished) == 1


@pytest.mark.only_on("sqlite")
def test_batch_whose_mapping_changes_before_its_update_is_planned_again(
    cloud: Cloud,
    cell: Cell,
) -> None:
    uuids = cell.add_instances(3)
    cloud.map_to(cell.id, uuids, user_id=None)

    with acting(UPDATING, lambda: cloud.remap(uuids[0], user_id=USER)) as seen:
        finished = upgrade(cloud, output="json")

    assert len(seen) == 2
    assert mended(finished) == 2
    assert total(cloud.journal(cell), "mended") == 2


@pytest.mark.parametrize("tables", [True, False], ids=["newest SQL", "oldest SQL"])
def test_odd_users_are_copied_exactly(
    cloud: Cloud, cell: Cell, monkeypatch: pytest.MonkeyPatch, *, tables: bool
) -> None:
    if not tables:
        monkeypatch.setattr(mysql, "JSON_TABLE", dict.fromkeys(mysql.JSON_TABLE, (99,)))
    wanted = {cell.add_instance(user_id=user): user for user in ODD_USERS}
    null, *others = wanted
    cloud.map_to(cell.id, [null], user_id=None)
    for uuid, other in zip(others, reversed(ODD_USERS), strict=False):
        cloud.map_to(cell.id, [uuid], user_id=f"{other} ")

    finished = upgrade(cloud, output="json")

    users = {uuid: row.user_id for uuid, row in cloud.mappings().items()}
    assert users == wanted
    assert mended(finished) == len(wanted)


def test_mapping_that_spells_its_uuid_in_another_way_is_left(
    cloud: Cloud, cell: Cell
) -> None:
    [uuid] = cell.add_instances(1, vm_state="soft-delete")
    cloud.map_to(cell.id, [uuid.upper()], queued_for_delete=False)
    wrong = add_wrong_flags(cloud, cell, 2)

    finished = upgrade(cloud, "0002", output="json")

    assert finished.code in (0, 75), finished.err
    flags = flagged(cloud)
    assert flags[uuid.upper()] is False
    assert [flags[each] for each in wrong] == [True, True]


def test_batches_have_the_rows_that_are_allowed_and_the_journal_adds_up(
    cloud: Cloud,
    cell: Cell,
) -> None:
    cloud.configure(cellmap={"batch_rows_min": 10, "batch_rows_max": 10})
    add_wrong_flags(cloud, cell, 25)

    finished = upgrade(cloud, "0002", output="json")

    entries = [row for row in cloud.journal(cell) if row["revision"] == "0002"]
    assert mended(finished) == 25
    assert [row["mended"] for row in entries] == [10, 10, 5]
    assert [row["rows_read"] for row in entries] == [10, 10, 5]
    assert {row["upto_id"] for row in entries} == {0}


def test_repair_corrects_two_columns_of_a_row_in_one_batch(
    cloud: Cloud, cell: Cell
) -> None:
    uuids = cell.add_instances(3, vm_state="soft-delete")
    cloud.map_to(cell.id, uuids, queued_for_delete=None, user_id="another")

    finished = repair(cloud)

    assert finished.code == 0
    assert named(finished, "mended") == {
        "queued_for_delete": {*uuids},
        "user_id": {*uuids},
    }
    [entry] = cloud.journal(cell)
    assert entry["mended"] == 6


@pytest.mark.only_on("mysql", "postgresql")
def test_row_that_the_database_refuses_is_left_and_all_others_are_corrected(
    cloud: Cloud,
    cell: Cell,
) -> None:
    users = [f"user{number}" for number in range(7)]
    uuids = [cell.add_instance(user_id=user) for user in users]
    cloud.map_to(cell.id, uuids, user_id=None)
    cloud.sql(
        "ALTER TABLE instance_mappings ADD CONSTRAINT refused "
        "CHECK (user_id <> 'user3')"
    )

    finished = repair(cloud)

    found = {row.user_id for row in cloud.mappings().values()}
    assert found == {*users, None} - {"user3"}
    assert named(finished, "left") == {"user_id": {uuids[3]}}
    assert "refused" in finished.err


def test_orphan_whose_instance_appears_after_the_look_is_left(
    cloud: Cloud, cell: Cell
) -> None:
    cloud.map_to(cell.id, cell.add_instances(5))
    back, gone = (f"{number}1111111-2222-4333-8444-555555555555" for number in (1, 2))
    cloud.map_to(cell.id, [back, gone])

    with acting("AS ours", lambda: cell.add_instance(uuid=back)) as seen:
        json_output = ("--output", "json")
        finished = cellmap_inside(cloud, "repair", "--cell", "cell1", *json_output)

    assert seen
    assert named(finished, "mended") == {"orphan": {gone}}
    assert back in cloud.mappings()
    assert gone not in cloud.mappings()


def test_unmapped_instance_does_not_hide_an_orphan_of_its_chunk(
    cloud: Cloud, cell: Cell
) -> None:
    unmapped, orphan, flag, equal = (
        f"abc{number}1111-2222-4333-8444-555555555555" for number in range(4)
    )
    for uuid in (unmapped, equal):
        cell.add_instance(uuid=uuid)
    cell.add_instance(uuid=flag, vm_state="soft-delete")
    cloud.map_to(cell.id, [orphan, flag, equal])

    finished = alembic_inside(cloud, "check", cell="cell1", x={"output": "json"})

    assert finished.code == 3
    assert differences(finished) == {
        "unmapped": {unmapped},
        "orphan": {orphan},
        "queued_for_delete": {flag},
    }
