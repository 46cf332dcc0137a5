"""A run never overwrites a write of nova between its read and its own write."""

from collections.abc import Callable
from signal import SIGKILL

import pytest
import sqlalchemy as sa

from cellmap_migrations.databases.database import LOCKED_READ_SECONDS
from cellmap_migrations.testing.cell import Cell
from tests.conftest import MakeCloud
from tests.harness.books import HEAD, assert_books_balance, total
from tests.harness.cloud import Cloud

LOCK_TIMEOUT = {
    "mysql": "SET SESSION innodb_lock_wait_timeout = {}",
    "postgresql": "SET lock_timeout = '{}s'",
}

# Why each server ended a statement that waited for a lock for too long.
GAVE_UP = {"mysql": "Lock wait timeout", "postgresql": "lock timeout"}

# Seconds for which nova waits for a lock that is soon to be free.
PATIENT = 600

OTHER = {"mysql": "postgresql", "postgresql": "mysql"}


@pytest.mark.parametrize(
    ("deleted", "code", "outcome"),
    [(False, 65, "conflict"), (True, 0, "elsewhere")],
    ids=["live-in-both", "deleted-here"],
)
def test_cell_that_nova_assigned_before_the_write_stays(
    make_cloud: MakeCloud, *, deleted: bool, code: int, outcome: str
) -> None:
    cloud = make_cloud()
    cell, other = cloud.add_cell("cell1"), cloud.add_cell("other")
    uuid = cell.add_instance(deleted=deleted)
    cloud.map(uuid, None)

    running = cloud.start_frozen("before UPDATE instance_mappings #1", cell="cell1")
    other.add_instance(uuid=uuid)
    cloud.remap(uuid, cell_id=other.id)
    running.thaw()
    finished = running.wait()

    assert (finished.code, cloud.mapped_uuids(other)) == (code, {uuid})
    journal = cloud.journal(cell)
    assert (total(journal, "filled"), total(journal, outcome)) == (0, 1)


def test_mapping_to_this_cell_that_nova_completed_is_not_counted_as_filled(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuid = cell.add_instance()
    cloud.map(uuid, None)

    running = cloud.start_frozen("before UPDATE instance_mappings #1", cell="cell1")
    cloud.remap(uuid, cell_id=cell.id)
    running.thaw()
    finished = running.wait()

    assert (finished.code, cloud.mapped_uuids(cell)) == (0, {uuid})
    journal = cloud.journal(cell)
    assert (total(journal, "filled"), total(journal, "already")) == (0, 1)


def test_mapping_inserted_after_its_instance_was_archived_is_removed(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    archived, kept = cell.add_instance(deleted=True), cell.add_instance()

    running = cloud.start_frozen(
        "before INSERT INTO instance_mappings #1", cell="cell1"
    )
    cell.archive(archived)
    running.thaw()
    finished = running.wait()

    assert (finished.code, finished.err) == (0, "")
    assert cloud.mappings().keys() == {kept}
    assert total(cloud.journal(cell), "removed") == 1
    assert_books_balance(cloud, cell)


@pytest.mark.only_on("mysql", "postgresql")
def test_later_run_keeps_no_transaction_open_for_its_version(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    # None is left to be read ahead, in a short transaction, when the run is frozen.
    cell.add_instances(20)
    x = {"batch_rows_min": "10", "batch_rows_max": "10"}
    cloud.alembic("upgrade", "head", cell="cell1", x={**x, "max_rows": "10"})
    assert len(cloud.journal(cell)) == 1

    running = cloud.start_frozen("after COMMIT #1", cell="cell1", x=x)

    sessions = [*cloud.sessions().all(), *cloud.sessions(cell.url).all()]
    assert len(sessions) >= 2
    assert [session.seconds for session in sessions] == [None] * len(sessions)
    assert running.kill9().code == -SIGKILL


def write(cloud: Cloud, uuid: str, patience: int, **columns: object) -> None:
    """Write columns of a mapping as nova does, with *patience* seconds for a lock."""
    table, backend = cloud.instance_mappings, cloud.url.get_backend_name()
    with cloud.engine.connect() as connection:
        # A connection of its own, whose settings nobody gets afterwards.
        connection.detach()
        connection.exec_driver_sql(LOCK_TIMEOUT[backend].format(patience))
        connection.execute(table.update().filter_by(instance_uuid=uuid).values(columns))
        connection.commit()


def clear_flag(cloud: Cloud, uuid: str) -> None:
    """Write a mapping's flag without patience for a lock."""
    write(cloud, uuid, 1, queued_for_delete=False)


def flagless(cloud: Cloud, cell: Cell) -> str:
    """Add a soft-deleted server whose mapping has to be mended."""
    uuid = cell.add_instance(vm_state="soft-delete")
    cloud.map(uuid, cell, queued_for_delete=False)
    return uuid


def orphan(cloud: Cloud, cell: Cell) -> str:
    """Leave the mapping of an archived server, which the next upgrade has to remove."""
    uuid, _ = cell.add_instance(deleted=True), cell.add_instance()
    upgraded = cloud.alembic("upgrade", "head", cell="cell1")
    cell.move_to_shadow(uuid)
    reset = cloud.cellmap("reset", "--cell", "cell1")
    assert (upgraded.code, reset.code) == (0, 0)
    return uuid


@pytest.mark.only_on("mysql", "postgresql")
def test_flag_cannot_be_written_between_the_look_and_the_mending(
    make_cloud: MakeCloud, backend: str
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuid = flagless(cloud, cell)

    running = cloud.start_frozen(
        "before UPDATE instance_mappings #1", cell="cell1", patient=True
    )
    with pytest.raises(sa.exc.OperationalError, match=GAVE_UP[backend]):
        clear_flag(cloud, uuid)
    running.thaw()
    finished = running.wait()

    assert (finished.code, finished.err) == (0, "")
    assert cloud.mappings()[uuid].queued_for_delete is True
    assert cloud.versions() == {cell.uuid: HEAD}


@pytest.mark.only_on("mysql", "postgresql")
def test_flag_of_an_instance_restored_before_the_lock_stays_false(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuid = flagless(cloud, cell)

    running = cloud.start_frozen("before FOR UPDATE #1", cell="cell1")
    cell.update(uuid, vm_state="active", deleted_at=None)
    clear_flag(cloud, uuid)
    running.thaw()
    overtaken = running.wait()
    again = cloud.alembic("upgrade", "head", cell="cell1")

    # The run has looked at the row once more, and found it equal.
    assert (overtaken.code, again.code) == (0, 0)
    assert cloud.mappings()[uuid].queued_for_delete is False
    assert total(cloud.journal(cell), "mended") == 0


@pytest.mark.only_on("mysql", "postgresql")
def test_mapping_cannot_be_written_between_the_look_and_its_removal(
    make_cloud: MakeCloud, backend: str
) -> None:
    cloud = make_cloud()
    uuid = orphan(cloud, cloud.add_cell("cell1"))

    running = cloud.start_frozen(
        "before DELETE FROM instance_mappings #1", cell="cell1", patient=True
    )
    with pytest.raises(sa.exc.OperationalError, match=GAVE_UP[backend]):
        clear_flag(cloud, uuid)
    running.thaw()
    finished = running.wait()

    assert (finished.code, finished.err) == (0, "")
    assert uuid not in cloud.mappings()


@pytest.mark.only_on("mysql", "postgresql")
@pytest.mark.parametrize("prepare", [flagless, orphan], ids=["mended", "removed"])
def test_mapping_is_free_while_the_cell_does_not_answer(
    make_cloud: MakeCloud, backend: str, prepare: Callable[[Cloud, Cell], str]
) -> None:
    cloud = make_cloud(cell_backend=OTHER[backend])
    uuid = prepare(cloud, cloud.add_cell("cell1"))
    server = cloud.server(OTHER[backend])

    running = cloud.start_frozen(
        "after FOR UPDATE #1", cell="cell1", x={"attempts": "100"}, patient=True
    )
    sessions = cloud.sessions().all()
    [holder] = [each.number for each in sessions if each.seconds is not None]
    server.freeze()
    try:
        running.thaw()
        write(cloud, uuid, PATIENT, user_id="another")
        at_work = running.running()
        sessions = cloud.sessions().all()
    finally:
        server.thaw()
    finished = running.wait()

    assert LOCKED_READ_SECONDS < 2
    # It let go by itself: its session is the one that the server knew before.
    assert (at_work, holder in [each.number for each in sessions]) == (True, True)
    assert finished.code == 0, finished.err


@pytest.mark.only_on("mysql", "postgresql")
def test_mapping_is_free_while_the_run_is_frozen(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuid = flagless(cloud, cell)

    running = cloud.start_frozen("before UPDATE instance_mappings #1", cell="cell1")
    write(cloud, uuid, PATIENT, user_id="another")
    frozen = running.frozen()
    running.thaw()
    finished = running.wait()

    assert frozen
    assert finished.code == 0, finished.err
    assert cloud.mappings()[uuid].queued_for_delete is True
    assert cloud.versions() == {cell.uuid: HEAD}
