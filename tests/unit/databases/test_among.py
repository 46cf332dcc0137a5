"""Any number of values is compared in statements that every server takes."""

import pytest
import sqlalchemy as sa

from cellmap_migrations.databases.among import MOST, among, parts, read_among
from cellmap_migrations.databases.texts import number_text, read_texts
from cellmap_migrations.nova.tables import instance_mappings
from cellmap_migrations.testing.cell import Cell
from tests.conftest import MakeCloud
from tests.harness.cloud import Cloud
from tests.harness.inside import opened

TABLE = instance_mappings.c

ODD = ("o'brien", 'a "b"', "back\\slash", "100 % %s", "zoë", "日本", "x,y", "[]", "")


@pytest.fixture
def cloud(make_cloud: MakeCloud) -> Cloud:
    """Return a cloud on each database."""
    return make_cloud()


@pytest.fixture
def cell(cloud: Cloud) -> Cell:
    """Return a cell with a mapping for each of the odd users."""
    cell = cloud.add_cell("cell1")
    for uuid, user in zip(cell.add_instances(len(ODD)), ODD, strict=True):
        cloud.map_to(cell.id, [uuid], user_id=user)
    return cell


def test_more_values_than_a_statement_may_have_parameters(
    cloud: Cloud, cell: Cell
) -> None:
    [first, *_] = cloud.mappings()
    uuids = [*(f"{number:036}" for number in range(70_000)), first]

    with opened(cloud, cell) as inside:
        select = sa.select(TABLE.instance_uuid)
        found = read_among(inside.api.read, select, TABLE.instance_uuid, uuids)
        numbers = range(1_000_000, 1_070_000)
        none = read_among(inside.api.read, select, TABLE.id, numbers)

    assert [tuple(row) for row in found] == [(first,)]
    assert none == []


def test_odd_texts_are_found_and_nothing_else(cloud: Cloud, cell: Cell) -> None:
    with opened(cloud, cell) as inside:
        select = sa.select(TABLE.user_id)
        every = inside.api.read(select.where(among(TABLE.user_id, ODD)))
        some = inside.api.read(select.where(among(TABLE.user_id, ODD[:3])))
        none = inside.api.read(select.where(among(TABLE.user_id, [])))

    assert {row[0] for row in every} == {*ODD}
    assert {row[0] for row in some} == {*ODD[:3]}
    assert none == []


def test_parts_have_all_values_in_order() -> None:
    values = range(2 * MOST + 1)

    found = list(parts(values))

    assert [len(part) for part in found] == [MOST, MOST, 1]
    assert [value for part in found for value in part] == [*values]


@pytest.mark.parametrize("user", ["plain", "tab\there", "line\nbreak", "\n", "\t"])
def test_texts_come_as_they_are(cloud: Cloud, cell: Cell, user: str) -> None:
    uuid = cell.add_instance()
    cloud.map_to(cell.id, [uuid], user_id=user)

    with opened(cloud, cell) as inside:
        select = sa.select(
            TABLE.instance_uuid,
            number_text(TABLE.cell_id).label("number"),
            TABLE.user_id,
        )
        found = read_texts(inside.api.read, select)

    users = {row.instance_uuid: row.user_id for row in cloud.mappings().values()}
    assert len(found) == len(users)
    assert {row[0]: row[2] for row in found} == users
    assert {row[1] for row in found} == {str(cell.id)}


def test_no_row_is_no_text(cloud: Cloud, cell: Cell) -> None:
    with opened(cloud, cell) as inside:
        found = read_texts(
            inside.api.read, sa.select(TABLE.instance_uuid).where(TABLE.id < 0)
        )

    assert found == []
