"""One cell, end to end."""

from tests.conftest import MakeCloud


def test_every_instance_gets_its_mapping(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(1200)

    finished = cloud.alembic("upgrade", "head", cell="cell1")

    assert (finished.err, finished.code) == ("", 0)
    assert cloud.mapped_uuids(cell) == set(uuids)
    assert cloud.versions() == {cell.uuid: "0003"}
