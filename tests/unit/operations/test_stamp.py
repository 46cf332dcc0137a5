"""A version that Alembic recorded, and that is not there, is an error."""

import pytest

from tests.conftest import MakeCloud

# Deletes what Alembic inserts, at once; MariaDB's triggers cannot do that.
SQLITE = """
CREATE TRIGGER lose AFTER INSERT ON cellmap_version
BEGIN DELETE FROM cellmap_version; END
"""


@pytest.mark.only_on("sqlite")
def test_lost_version_is_an_error(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(3)
    cloud.alembic("upgrade", "0001", cell="cell1", x={"max_rows": "1"})
    with cloud.engine.begin() as connection:
        connection.exec_driver_sql(SQLITE)

    lost = cloud.alembic("upgrade", "0001", cell="cell1")
    with cloud.engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER lose")
    found = cloud.alembic("upgrade", "0001", cell="cell1")

    assert lost.code == 70
    assert "the version should now be 0001" in lost.err
    assert found.code == 0
    assert cloud.mapped_uuids(cell) == set(uuids)
    assert cloud.versions() == {cell.uuid: "0001"}
