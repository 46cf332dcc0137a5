"""A boot during a copy succeeds, and only takes more time."""

import pytest

from cellmap_migrations.testing.rows import now
from tests.conftest import MakeCloud
from tests.harness.boots import Boots


@pytest.mark.only_on("mysql", "postgresql")
def test_every_boot_during_a_copy_succeeds_and_keeps_its_cell(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell, other = cloud.add_cell("cell1"), cloud.add_cell("cell2")
    servers = cell.add_instances(3_000)
    here = Boots(
        cloud,
        cell,
        rate=25,
        between=lambda uuid: cell.add_instance(uuid=uuid, created_at=now()),
    )
    elsewhere = Boots(cloud, other, rate=25)

    with here.flowing(), elsewhere.flowing():
        finished = cloud.alembic("upgrade", "head", cell="cell1")

    failed = [boot for boot in (*here.done(), *elsewhere.done()) if boot.error]
    assert (finished.code, failed) == (0, [])
    assert cloud.mapped_uuids(cell) == {*servers, *here.uuids()}
    assert cloud.mapped_uuids(other) == elsewhere.uuids() != set()
