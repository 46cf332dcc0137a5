"""Only the journal of this cell and revision says which mappings are ours."""

from datetime import datetime, timedelta

from cellmap_migrations.bookkeeping.tables import journal
from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.process import Finished
from cellmap_migrations.testing.rows import now
from tests.harness.cloud import Cloud


def add_upgraded(cloud: Cloud, name: str, stamp: datetime) -> tuple[Cell, str]:
    """Add a cell whose one instance was mapped by 0001 at the time *stamp*."""
    cell = cloud.add_cell(name)
    uuid = cell.add_instance()
    cloud.alembic("upgrade", "head", cell=name)
    date(cloud, cell, "0001", uuid, stamp)
    return cell, uuid


def date(cloud: Cloud, cell: Cell, revision: str, uuid: str, stamp: datetime) -> None:
    """Let *revision* have inserted the mapping at the time *stamp*."""
    batches = journal.update().filter_by(cell_uuid=cell.uuid, revision=revision)
    cloud.execute(batches.values(stamp=stamp))
    cloud.remap(uuid, updated_at=stamp)


def downgrade(cloud: Cloud) -> Finished:
    """Take back what 0001 did in cell1."""
    x = {"remove_mappings": "yes"}
    return cloud.alembic("downgrade", "base", cell="cell1", x=x)


def test_mappings_of_another_cell_with_the_same_stamp_are_left(cloud: Cloud) -> None:
    stamp = now()
    add_upgraded(cloud, "cell1", stamp)
    _, theirs = add_upgraded(cloud, "cell2", stamp)

    finished = downgrade(cloud)

    assert (finished.code, set(cloud.mappings())) == (0, {theirs})


def test_mapping_to_this_cell_with_the_stamp_of_another_is_left(cloud: Cloud) -> None:
    stamp = now()
    cell, _ = add_upgraded(cloud, "cell1", stamp)
    _, theirs = add_upgraded(cloud, "cell2", stamp - timedelta(hours=1))
    nova = cell.add_instance()
    cloud.map(nova, cell, updated_at=stamp - timedelta(hours=1))

    finished = downgrade(cloud)

    assert (finished.code, set(cloud.mappings())) == (0, {theirs, nova})


def test_mapping_that_repair_inserted_is_left(cloud: Cloud) -> None:
    stamp = now()
    cell, _ = add_upgraded(cloud, "cell1", stamp)
    repaired = cell.add_instance()
    cloud.cellmap("repair", "--cell", "cell1")
    date(cloud, cell, "repair", repaired, stamp + timedelta(hours=1))

    finished = downgrade(cloud)

    assert (finished.code, set(cloud.mappings())) == (0, {repaired})


def test_mapping_that_repair_inserted_in_the_second_of_an_upgrade_is_left(
    cloud: Cloud,
) -> None:
    stamp = now()
    cell, _ = add_upgraded(cloud, "cell1", stamp)
    repaired = cell.add_instance()
    cloud.cellmap("repair", "--cell", "cell1")
    date(cloud, cell, "repair", repaired, stamp)

    finished = downgrade(cloud)

    assert (finished.code, set(cloud.mappings())) == (0, {repaired})


def test_mapping_that_an_upgrade_inserted_in_the_second_of_a_repair_is_removed(
    cloud: Cloud,
) -> None:
    stamp = now()
    cell = cloud.add_cell("cell1")
    repaired = cell.add_instance()
    cloud.cellmap("repair", "--cell", "cell1")
    date(cloud, cell, "repair", repaired, stamp)
    uuid = cell.add_instance()
    cloud.alembic("upgrade", "head", cell="cell1")
    date(cloud, cell, "0001", uuid, stamp)

    finished = downgrade(cloud)

    assert (finished.code, set(cloud.mappings())) == (0, {repaired})


def test_mapping_that_nova_wrote_in_the_second_of_a_batch_without_inserts_is_left(
    cloud: Cloud,
) -> None:
    stamp = now()
    cell = cloud.add_cell("cell1")
    nova = cell.add_instance()
    cloud.map(nova, cell)
    cloud.alembic("upgrade", "head", cell="cell1")
    date(cloud, cell, "0001", nova, stamp)

    finished = downgrade(cloud)

    assert (finished.code, set(cloud.mappings())) == (0, {nova})
