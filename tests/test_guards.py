"""What nova does between a look and a write is never overwritten."""

from signal import SIGKILL

import pytest
import sqlalchemy as sa

from tests.books import HEAD, total
from tests.conftest import MakeCloud
from tests.nova.cloud import Cloud

LOCK_TIMEOUT = {
    "mysql": "SET SESSION innodb_lock_wait_timeout = 1",
    "postgresql": "SET lock_timeout = '1s'",
}
# Why each server ended a statement that waited for a lock for too long.
GAVE_UP = {"mysql": "Lock wait timeout", "postgresql": "lock timeout"}


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


@pytest.mark.only_on("mysql", "postgresql")
def test_later_run_keeps_no_transaction_open_for_its_version(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.add_instances(30)
    x = {"batch_rows_min": "10", "batch_rows_max": "10"}
    cloud.alembic("upgrade", "head", cell="cell1", x={**x, "max_rows": "10"})
    assert len(cloud.journal(cell)) == 1

    running = cloud.start_frozen("after COMMIT #1", cell="cell1", x=x)

    sessions = [*cloud.sessions().all(), *cloud.sessions(cell.url).all()]
    assert len(sessions) >= 2
    assert [session.seconds for session in sessions] == [None] * len(sessions)
    assert running.kill9().code == -SIGKILL


def clear_flag(cloud: Cloud, uuid: str) -> None:
    """Write a mapping's flag as nova does, without patience for a lock."""
    table, backend = cloud.instance_mappings, cloud.url.get_backend_name()
    with cloud.engine.connect() as connection:
        # A connection of its own, whose settings nobody gets afterwards.
        connection.detach()
        connection.exec_driver_sql(LOCK_TIMEOUT[backend])
        connection.execute(
            table.update().filter_by(instance_uuid=uuid).values(queued_for_delete=False)
        )
        connection.commit()


@pytest.mark.only_on("mysql", "postgresql")
def test_flag_cannot_be_written_between_the_look_and_the_mending(
    make_cloud: MakeCloud, backend: str
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuid = cell.add_instance(vm_state="soft-delete")
    cloud.map(uuid, cell, queued_for_delete=False)

    running = cloud.start_frozen("before UPDATE instance_mappings #1", cell="cell1")
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
    uuid = cell.add_instance(vm_state="soft-delete")
    cloud.map(uuid, cell, queued_for_delete=False)

    running = cloud.start_frozen("before FOR UPDATE #1", cell="cell1")
    cell.update(uuid, vm_state="active", deleted_at=None)
    clear_flag(cloud, uuid)
    running.thaw()
    overtaken = running.wait()
    again = cloud.alembic("upgrade", "head", cell="cell1")

    # What it found is not what it met with, and only another look may conclude.
    assert (overtaken.code, again.code) == (75, 0)
    assert cloud.mappings()[uuid].queued_for_delete is False
    assert total(cloud.journal(cell), "mended") == 0
