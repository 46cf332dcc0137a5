"""Instances that are mapped to a cell which cannot be asked."""

import pytest

from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.config import text
from tests.conftest import MakeCloud
from tests.harness.cloud import Cloud
from tests.harness.upgrading import Ended, map_cell, stopped

TwoCells = tuple[Cloud, Cell, Cell]


@pytest.fixture
def two_cells(make_cloud: MakeCloud) -> TwoCells:
    """A cloud with two cells."""
    cloud = make_cloud()
    return cloud, cloud.add_cell("cell1"), cloud.add_cell("cell2")


def disconnected(cloud: Cloud, cell: Cell, connection: str | None) -> None:
    """Store another connection for a cell."""
    table = cloud.tables["cell_mappings"]
    update = table.update().filter_by(uuid=cell.uuid)
    cloud.execute(update.values(database_connection=connection))


def unresolved(cloud: Cloud, cell: Cell, other: Cell) -> Ended:
    """Upgrade a cell with an instance that is mapped to *other*, and with another."""
    uuid, mine = cell.add_instance(), cell.add_instance()
    cloud.map(uuid, other)
    ended = map_cell(cloud, cell, connect_timeout="1")
    assert {uuid} == cloud.mapped_uuids(other)
    assert {mine} == cloud.mapped_uuids(cell)
    return ended


def test_instance_mapped_to_a_cell_that_is_down_is_unresolved(
    two_cells: TwoCells,
) -> None:
    cloud, cell, other = two_cells
    gone = other.url.set(port=1) if other.url.host else other.url.set(database="/gone")
    disconnected(cloud, other, text(gone))

    ended = unresolved(cloud, cell, other)

    assert stopped(75, unresolved=1, mapped=1) == ended
    assert ended.err.splitlines()[-1] == (
        f"error: cell cell1 ({cell.uuid}): 1 instances are mapped to a cell that "
        f"cannot be asked now (cell2 ({other.uuid})); run again when "
        "its database answers"
    )


def test_instance_mapped_to_a_cell_without_a_connection_is_unresolved(
    two_cells: TwoCells,
) -> None:
    cloud, cell, other = two_cells
    disconnected(cloud, other, None)

    ended = unresolved(cloud, cell, other)

    assert stopped(75, unresolved=1, mapped=1) == ended


def test_unresolved_instance_is_settled_when_the_cell_is_back(
    two_cells: TwoCells,
) -> None:
    cloud, cell, other = two_cells
    disconnected(cloud, other, None)
    unresolved(cloud, cell, other)
    disconnected(cloud, other, text(other.url))

    ended = map_cell(cloud, cell)

    assert (ended.code, ended.told, ended.stamped) == (0, {"moved": 1}, True)
    assert set() == cloud.mapped_uuids(other)
