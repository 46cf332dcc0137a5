"""The grants that docs/privileges.rst shows are enough for every command."""

import re
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.config import text
from cellmap_migrations.testing.servers import PASSWORD, plain_engine
from cellmap_migrations.testing.servers.network import NetworkServer
from tests.conftest import MakeCloud
from tests.harness import readme
from tests.harness.cloud import Cloud
from tests.harness.newer import MySQL9
from tests.harness.variables import switched_on

USER, ROLE = "cellmap", "cellmap_rights"

# The end of a GRANT to the user.
TO_USER = re.compile(rf" TO '?{USER}('@'%')?$")

COMMANDS = ("upgrade head", "check", "downgrade base")

pytestmark = pytest.mark.only_on("mysql", "postgresql")


@pytest.fixture
def cloud(make_cloud: MakeCloud) -> Cloud:
    """A cloud on which only the user of the page's grants works."""
    made = make_cloud()
    restrict(made, made.add_cell("cell1"))
    return made


def test_grants_suffice(cloud: Cloud) -> None:
    cell = cloud.cells[0]
    filled, _, *mapped = cell.add_instances(4)
    cloud.map(filled, None)
    cloud.map_to(cell.id, [*mapped, "0b7e9c1d-3f52-4a86-9d0e-6c5b4a392817"])

    codes = [
        run(cloud, command)
        for command in ("upgrade head", "check", "repair", "check", "downgrade base")
    ]

    # The mapping without an instance is nothing that stops an upgrade.
    assert codes == [0, 3, 0, 0, 0]


def test_grants_of_a_role_suffice(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    give_role(cloud, role(cloud))

    assert [run(cloud, command) for command in COMMANDS] == [0, 0, 0]


@pytest.mark.only_on("mysql9")
def test_grants_of_any_role_suffice_if_all_are_activated(
    make_cloud: MakeCloud, backend: str
) -> None:
    del backend
    cloud = make_cloud()
    *given, _ = role(cloud)
    give_role(cloud, given)

    with switched_on(cloud.server("mysql"), "activate_all_roles_on_login"):
        assert [run(cloud, command) for command in COMMANDS] == [0, 0, 0]


@pytest.mark.only_on("mysql")
def test_role_that_is_not_active_ends_a_run(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    *given, _ = role(cloud)
    give_role(cloud, given)

    finished = cloud.alembic("upgrade", "head", cell="cell1")

    assert finished.code == 77
    assert "docs/privileges.rst" in finished.err.splitlines()[-1]


def test_grants_for_a_merge_suffice(cloud: Cloud) -> None:
    cell = cloud.cells[0]
    twin = cloud.add_cell("twin", database=cell, connection=connection(cell))
    cloud.map_to(twin.id, cell.add_instances(2))
    cloud.insert("host_mappings", cell_id=twin.id, host="compute-1")
    merge = ("merge", "--cell", "cell1", "--from", "twin")

    without = cloud.cellmap(*merge)
    statements = grants(cloud, "nova_api for cellmap merge")
    perform(cloud, statements, cloud.url)
    done = cloud.cellmap(*merge)

    assert (without.code, done.code) == (77, 0)
    assert "host_mappings" in without.err.splitlines()[-1]
    assert {row["cell_id"] for row in cloud.rows("host_mappings")} == {cell.id}
    assert {row.cell_id for row in cloud.mappings().values()} == {cell.id}


def connection(cell: Cell) -> str:
    """Return the address of a cell as its row has it."""
    table = cell.api.tables["cell_mappings"]
    query = sa.select(table.c.database_connection).filter_by(uuid=cell.uuid)
    with cell.api.engine.connect() as connected:
        return str(connected.scalar(query))


@pytest.mark.parametrize("table", ["cell_mappings", "instance_mappings"])
def test_missing_grant_is_named(cloud: Cloud, table: str) -> None:
    cloud.map(cloud.cells[0].add_instance(), None)
    revoke(cloud, table)

    finished = cloud.alembic("upgrade", "head", cell="cell1")

    assert finished.code == 77
    assert "docs/privileges.rst" in finished.err.splitlines()[-1]


def restrict(cloud: Cloud, cell: Cell) -> None:
    """Run the grants, and give cloud and cell the URLs of their user."""
    for name, url in {"nova_api": cloud.url, "nova_cell1": cell.url}.items():
        perform(cloud, grants(cloud, name), url)
    log_in(cloud, cell)


def give_role(cloud: Cloud, statements: list[str]) -> None:
    """Add a cell and its user, and give the grants to the user's role instead."""
    cell = cloud.add_cell("cell1")
    cell.add_instances(3)
    create, *granted = grants(cloud, "nova_api")
    there = grants(cloud, "nova_cell1")
    perform(cloud, [create, *statements, *map(to_role, granted)], cloud.url)
    perform(cloud, [*map(to_role, there)], cell.url)
    log_in(cloud, cell)


def to_role(grant: str) -> str:
    """Return a grant of the page as a grant to the role."""
    changed, count = TO_USER.subn(f" TO {ROLE}", grant)
    assert count == 1, grant
    return changed


def role(cloud: Cloud) -> list[str]:
    """Return the page's statements that give the user a role; the last activates it."""
    products = {"mysql": "MariaDB", "postgresql": "PostgreSQL"}
    mysql9 = isinstance(cloud.server(cloud.cell_backend), MySQL9)
    return readme.sql(f"{'MySQL' if mysql9 else products[cloud.cell_backend]} role")


def log_in(cloud: Cloud, cell: Cell) -> None:
    """Let runs log in as the user of the page, to the cell and to the API database."""
    user = user_of(cloud)
    cloud.configure(api_database={"connection": text(cloud.url.set(username=user))})
    stored = {"database_connection": text(cell.url.set(username=user))}
    cloud.execute(cloud.tables["cell_mappings"].update().values(stored))


def revoke(cloud: Cloud, table: str) -> None:
    """Take back what the page grants for a table."""
    granted = [grant for grant in grants(cloud, "nova_api") if table in grant]
    taken = [
        grant.replace("GRANT", "REVOKE").replace(" TO ", " FROM ") for grant in granted
    ]
    perform(cloud, taken, cloud.url)


def grants(cloud: Cloud, name: str) -> list[str]:
    """Return the page's statements for one of its databases, on the cloud's server."""
    products = {"mysql": "MariaDB and MySQL", "postgresql": "PostgreSQL"}
    return readme.sql(f"{products[cloud.cell_backend]} {name}")


def user_of(cloud: Cloud) -> str:
    """Return what the page's user is called in this test."""
    return f"{USER}_{cloud.number}"


def perform(cloud: Cloud, statements: list[str], url: sa.URL) -> None:
    """Run statements of the page as the administrator, in the database at *url*."""
    server = cloud.server(cloud.cell_backend)
    assert isinstance(server, NetworkServer)
    database = str(url.database)
    # There is a percent sign in the password, and it stands for no parameter.
    engine = plain_engine(server.url(database, "admin"))
    options = {"no_parameters": True}
    with engine.execution_options(**options).begin() as connection:
        for statement in statements:
            ours = re.sub(rf"\b{USER}(?=\b|_rights\b)", user_of(cloud), statement)
            ours = re.sub(r"\bnova_(api|cell1)\b", database, ours)
            connection.exec_driver_sql(ours.replace("secret", PASSWORD))


def run(cloud: Cloud, command: str) -> int:
    """Run a command of either program on the cell, and return its exit code."""
    if command == "repair":
        script = str(Path(sys.executable).with_name("cellmap"))
        arguments = ["--config-file", str(cloud.config_file), command, "--cell=cell1"]
        return cloud.run(script, *arguments).wait().code
    x = {"remove_mappings": "yes"}
    return cloud.alembic(*command.split(), cell="cell1", x=x).code
