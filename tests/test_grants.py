"""The grants that README.rst shows are enough for every command."""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import readme
from tests.nova.cell import Cell
from tests.nova.cloud import Cloud, text
from tests.nova.servers import PASSWORD, Server, plain_engine
from tests.nova.servers.network import NetworkServer

USER = "cellmap"
BACKENDS = {"MariaDB": "mysql", "PostgreSQL": "postgresql"}


@pytest.fixture(params=BACKENDS)
def cloud(
    tmp_path: Path, server: Callable[[str], Server], request: pytest.FixtureRequest
) -> Iterator[Cloud]:
    """A cloud on which only the user of the page's grants works."""
    made = Cloud(tmp_path, server, backend=BACKENDS[request.param])
    restrict(made, made.add_cell("cell1"), request.param)
    yield made
    made.close()


def test_grants_suffice(cloud: Cloud) -> None:
    cell = cloud.cells[0]
    filled, _ = cell.add_instances(2)
    cloud.map(filled, None)
    cloud.map_to(cell.id, ["0b7e9c1d-3f52-4a86-9d0e-6c5b4a392817"])

    codes = [
        run(cloud, command)
        for command in ("upgrade head", "check", "repair", "check", "downgrade base")
    ]

    # The mapping without an instance is nothing that stops an upgrade.
    assert [0, 3, 0, 0, 0] == codes  # noqa: SIM300 - expected first, as everywhere


def restrict(cloud: Cloud, cell: Cell, product: str) -> None:
    """Run the grants, and give cloud and cell the URLs of their user."""
    server = cloud.server(BACKENDS[product])
    assert isinstance(server, NetworkServer)
    user = f"{USER}_{cloud.number}"
    for name, url in {"nova_api": cloud.url, "nova_cell1": cell.url}.items():
        database = str(url.database)
        statements = ";".join(readme.sql(f"{product} {name}"))
        ours = re.sub(rf"\b{USER}\b", user, statements).replace(name, database)
        # There is a percent sign in the password, and it stands for no parameter.
        engine = plain_engine(server.url(database, "admin"))
        options = {"no_parameters": True}
        with engine.execution_options(**options).begin() as connection:
            for statement in ours.replace("secret", PASSWORD).split(";"):
                connection.exec_driver_sql(statement)
    cloud.configure(api_database={"connection": text(cloud.url.set(username=user))})
    stored = {"database_connection": text(cell.url.set(username=user))}
    cloud.execute(cloud.tables["cell_mappings"].update().values(stored))


def run(cloud: Cloud, command: str) -> int:
    """Run a command of either program on the cell, and return its exit code."""
    if command == "repair":
        script = str(Path(sys.executable).with_name("cellmap"))
        arguments = ["--config-file", str(cloud.config_file), command, "--cell=cell1"]
        return cloud.run(script, *arguments).wait().code
    x = {"remove_mappings": "yes"}
    return cloud.alembic(*command.split(), cell="cell1", x=x).code
