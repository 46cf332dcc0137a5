"""The least privileges are enough, and nothing else is ever written."""

import pytest
import sqlalchemy as sa

from cellmap_migrations.testing.config import text
from cellmap_migrations.testing.servers import plain_engine
from tests.conftest import MakeCloud
from tests.harness.books import HEAD
from tests.harness.cloud import Cloud
from tests.harness.results import content

ROWS = "SELECT, INSERT, UPDATE, DELETE"

MARIADB = (
    f"GRANT {ROWS} ON `{{api}}`.instance_mappings TO {{user}}",
    "GRANT SELECT ON `{api}`.cell_mappings TO {user}",
    "GRANT SELECT ON `{api}`.build_requests TO {user}",
    f"GRANT CREATE, {ROWS} ON `{{api}}`.cellmap_version TO {{user}}",
    "GRANT CREATE, SELECT, INSERT ON `{api}`.cellmap_journal TO {user}",
    "GRANT CREATE, SELECT, INSERT ON `{api}`.cellmap_control TO {user}",
)

POSTGRESQL = (
    "GRANT USAGE, CREATE ON SCHEMA public TO {user}",
    f"GRANT {ROWS} ON instance_mappings TO {{user}}",
    "GRANT USAGE ON SEQUENCE instance_mappings_id_seq TO {user}",
    "GRANT SELECT ON cell_mappings, build_requests TO {user}",
)


def least(cloud: Cloud, cell_url: sa.URL) -> sa.URL:
    """Return the API database's URL for a user who may only read the cell."""
    backend = cloud.url.get_backend_name()
    server = cloud.server(backend)
    user = server.readonly(cell_url).username
    if backend == "mysql":
        with server.admin().connect() as connection:
            for grant in MARIADB:
                account = f"`{user}`@'127.0.0.1'"
                names = {"api": cloud.url.database, "user": account}
                connection.exec_driver_sql(grant.format(**names))
    else:
        with plain_engine(cloud.url).begin() as connection:
            for grant in POSTGRESQL:
                connection.exec_driver_sql(grant.format(user=f'"{user}"'))
    return cloud.url.set(username=user)


@pytest.mark.only_on("mysql", "postgresql")
def test_least_privileges_are_enough(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell, other = cloud.add_cell("cell1"), cloud.add_cell("cell2")
    uuids = cell.add_instances(30)
    cloud.map_to(None, uuids[:3])
    cloud.map_to(other.id, uuids[3:6])
    for some in (cell, other):
        url = cloud.server(cell.url.get_backend_name()).readonly(some.url)
        table = cloud.tables["cell_mappings"]
        cloud.execute(
            table.update().filter_by(id=some.id).values(database_connection=text(url))
        )
    cloud.configure(api_database={"connection": text(least(cloud, cell.url))})

    upgraded = cloud.alembic("upgrade", "head", cell="cell1")
    check = cloud.alembic("check", cell="cell1")
    mapped = cloud.mapped_uuids(cell)
    x = {"remove_mappings": "yes"}
    downgraded = cloud.alembic("downgrade", "base", cell="cell1", x=x)

    assert (upgraded.code, upgraded.err) == (0, "")
    assert mapped == set(uuids)
    assert [check.code, downgraded.code] == [0, 0]
    assert cloud.alembic("check", cell="cell1").code == 3


def test_cell_databases_and_tables_of_nova_stay_as_they_are(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell, other = cloud.add_cell("cell1"), cloud.add_cell("cell2")
    uuids = cell.add_instances(30)
    other.add_instances(3)
    cloud.map_to(other.id, uuids[3:6])
    cells = {some.url: content(some.url) for some in (cell, other)}
    api = content(cloud.url)

    finished = cloud.alembic("upgrade", "head", cell="all")

    assert finished.code == 0
    assert cloud.versions() == {cell.uuid: HEAD, other.uuid: HEAD}
    assert {some.url: content(some.url) for some in (cell, other)} == cells
    tables = {"cellmap_version", "cellmap_journal", "cellmap_control"}
    ours = {"instance_mappings", *tables}
    after = content(cloud.url)
    assert after.keys() == api.keys() | ours
    assert {name: api[name] for name in api.keys() - ours} == {
        name: after[name] for name in api.keys() - ours
    }
