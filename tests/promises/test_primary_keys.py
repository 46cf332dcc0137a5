"""All commands work on servers that require or generate primary keys."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.servers.mariadb import MariaDB
from tests.conftest import MakeCloud
from tests.harness import books, merging
from tests.harness.cloud import Cloud
from tests.harness.inside import alembic_inside, cellmap_inside, upgrade
from tests.harness.variables import switched_on

INVISIBLE = "sql_generate_invisible_primary_key"


@pytest.fixture
def strict(make_cloud: MakeCloud, backend: str) -> Iterator[Cloud]:
    """A cloud on a server that refuses tables without a primary key."""
    cloud = make_cloud()
    server = cloud.server(backend)
    mariadb = isinstance(server, MariaDB)
    required = "innodb_force_primary_key" if mariadb else "sql_require_primary_key"
    with switched_on(server, required):
        with pytest.raises(sa.exc.OperationalError):
            cloud.sql("CREATE TABLE keyless (number INTEGER)")
        yield cloud


@pytest.mark.only_on("mysql")
def test_upgrade_and_downgrade_work_where_primary_keys_are_required(
    strict: Cloud,
) -> None:
    cell = strict.add_cell("cell1")
    cell.add_instances(30)

    assert_all_commands_work(strict, cell)


@pytest.mark.only_on("mysql")
def test_merge_works_where_primary_keys_are_required(strict: Cloud) -> None:
    with merging.created_twice(strict) as pair:
        merges = [
            cellmap_inside(strict, *merging.MERGE, *options)
            for options in ([], ["--undo"], [])
        ]

    assert [each.code for each in merges] == [0, 0, 0]
    assert pair.owners() == {pair.cell.id}


@pytest.mark.only_on("mysql9")
def test_all_commands_work_on_tables_with_generated_primary_keys(
    make_cloud: MakeCloud, backend: str
) -> None:
    del backend
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.add_instances(30)
    with switched_on(cloud.server("mysql"), INVISIBLE):
        generate_key(cell.engine, "instances")
        generate_key(cloud.engine, "build_requests")
        generate_key(cloud.engine, "alembic_version")

        assert_all_commands_work(cloud, cell)


def generate_key(engine: sa.Engine, table: str) -> None:
    """Replace a table by a copy to which the server adds an invisible primary key."""
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE TABLE copied SELECT * FROM {table}")
        connection.exec_driver_sql(f"DROP TABLE {table}")
        connection.exec_driver_sql(f"RENAME TABLE copied TO {table}")
    keys = sa.inspect(engine).get_pk_constraint(table)
    assert keys["constrained_columns"] == ["my_row_id"]


def assert_all_commands_work(cloud: Cloud, cell: Cell) -> None:
    """Upgrade, check, repair and downgrade *cell*, and look at its mappings."""
    upgraded = upgrade(cloud)
    assert (upgraded.code, upgraded.err) == (0, "")
    assert cloud.versions() == {cell.uuid: books.HEAD}

    uuids = cell.uuids()
    cloud.unmap(uuids[0])
    checks = [alembic_inside(cloud, "check", cell="cell1")]
    repaired = cellmap_inside(cloud, "repair", "--cell", "cell1")
    checks.append(alembic_inside(cloud, "check", cell="cell1"))
    assert [checks[0].code, repaired.code, checks[1].code] == [3, 0, 0]
    assert cloud.mapped_uuids(cell) == set(uuids)

    x = {"remove_mappings": "yes"}
    downgraded = alembic_inside(cloud, "downgrade", "base", cell="cell1", x=x)
    assert downgraded.code == 0, downgraded.err
    # A downgrade keeps the mapping that the repair inserted.
    assert cloud.mapped_uuids(cell) == {uuids[0]}
