"""Times that Python has not, and days that a server writes in an order of its own."""

from datetime import datetime

import pytest
import sqlalchemy as sa

from cellmap_migrations.testing.cell import Cell
from tests.conftest import MakeCloud
from tests.harness.cloud import Cloud
from tests.harness.inside import opened
from tests.harness.upgrading import complete, map_cell

pytestmark = pytest.mark.only_on("mysql", "postgresql")

ODD = {
    "mysql": ["0000-00-00 00:00:00", "2015-00-00 00:00:00"],
    "postgresql": ["infinity", "-infinity", "0044-03-15 12:00 BC", "20000-01-01"],
}

LENIENT = {"mysql": "SET SESSION sql_mode = ''", "postgresql": "SELECT 1"}

# Neither the month nor the day tells which one it is.
FIFTH_OF_OCTOBER = datetime(2015, 10, 5, 12, 30, 1)  # noqa: DTZ001 - nova's are naive


def set_odd_times(cell: Cell, uuids: list[str]) -> None:
    """Give each odd time to one of the servers."""
    kind = cell.url.get_backend_name()
    with cell.engine.begin() as connection:
        connection.exec_driver_sql(LENIENT[kind])
        for uuid, time in zip(uuids, ODD[kind], strict=False):
            connection.exec_driver_sql(
                f"UPDATE instances SET created_at = '{time}' WHERE uuid = '{uuid}'"
            )


def mapped(cloud: Cloud, cell: Cell) -> set[str]:
    """Return what is mapped to a cell; of their times a driver makes nothing."""
    table = cloud.instance_mappings
    query = sa.select(table.c.instance_uuid).filter_by(cell_id=cell.id)
    with cloud.engine.connect() as connection:
        return set(connection.scalars(query))


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("already", [0, 1], ids=["alone", "beside a mapped one"])
def test_time_that_is_none_stops_nothing(
    make_cloud: MakeCloud, kind: str, already: int
) -> None:
    cloud = make_cloud(cell_backend=kind)
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(20)
    set_odd_times(cell, uuids[5:])
    for uuid in uuids[:already]:
        cloud.map(uuid, cell)

    ended = map_cell(cloud, cell)

    counts = {"mapped": 20 - already, **({"already": already} if already else {})}
    assert complete(**counts) == ended, ended.err
    assert mapped(cloud, cell) == set(uuids)


def test_day_is_not_taken_for_a_month(make_cloud: MakeCloud) -> None:
    cloud = make_cloud(cell_backend="postgresql")
    cell = cloud.add_cell("cell1")
    # One in a line of text, and one by itself.
    plain = cell.add_instance(created_at=FIFTH_OF_OCTOBER)
    odd = cell.add_instance(created_at=FIFTH_OF_OCTOBER, user_id=None, deleted=True)
    with cell.engine.begin() as connection:
        connection.exec_driver_sql(
            f"ALTER DATABASE \"{cell.url.database}\" SET datestyle TO 'SQL, DMY'"
        )

    ended = map_cell(cloud, cell)

    assert complete(mapped=2) == ended
    found = cloud.mappings()
    assert {found[uuid].created_at for uuid in (plain, odd)} == {FIFTH_OF_OCTOBER}


def test_time_with_a_zone_is_one_in_utc(make_cloud: MakeCloud) -> None:
    cloud = make_cloud(cell_backend="postgresql")
    cell = cloud.add_cell("cell1")
    cell.add_instances(3)
    odd = ["2015-10-05 12:30:01+02", "infinity", "9999-12-31 23:59:59-12"]
    with cell.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE zoned (id INT, at TIMESTAMPTZ)")
        for number, at in enumerate(odd):
            connection.exec_driver_sql(f"INSERT INTO zoned VALUES ({number}, '{at}')")
        connection.exec_driver_sql(
            f"ALTER DATABASE \"{cell.url.database}\" SET timezone TO 'Asia/Tokyo'"
        )
    zoned = sa.table("zoned", sa.column("id"), sa.column("at"))

    with opened(cloud, cell) as inside:
        rows = inside.database.read(sa.select(zoned.c.at).order_by(zoned.c.id))

    assert [row.at for row in rows] == [datetime(2015, 10, 5, 10, 30, 1), None, None]  # noqa: DTZ001 - nova's are naive
