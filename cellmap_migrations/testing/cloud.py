"""Build a cloud for one test, and run commands on it."""

import itertools
import sys
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any
from uuid import uuid4

import sqlalchemy as sa

from cellmap_migrations.testing.api import Api
from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.config import Config, text
from cellmap_migrations.testing.process import Extra, Finished, Running, x_options
from cellmap_migrations.testing.rows import CELL0, LONG_AGO, known
from cellmap_migrations.testing.schema import api_tables, cell_tables
from cellmap_migrations.testing.servers import Server

INI = files("cellmap_migrations") / "conf" / "alembic.ini"
# The argument for the cell's real URL.
OWN_URL = "own"
NUMBERS = itertools.count(1)


class Cloud(Api):
    """Create an API database of nova *release* on *backend*, and add cells to it."""

    def __init__(
        self,
        folder: Path,
        server: Callable[[str], Server],
        *,
        backend: str,
        cell_backend: str | None = None,
        release: str = "34",
    ) -> None:
        self.server = server
        self.cell_backend = cell_backend or backend
        self.number = next(NUMBERS)
        self.databases: list[tuple[Server, sa.URL]] = []
        self.commands: list[Running] = []
        self.cells: list[Cell] = []
        self.config = Config(folder / f"nova-{self.number}.conf")
        url = self.create_database("api", backend, api_tables(release))
        super().__init__(url, release)
        self.configure(api_database={"connection": text(url)})

    @property
    def config_file(self) -> Path:
        """Return the path of the cloud's nova.conf."""
        return self.config.path

    def configure(self, **groups: Mapping[str, object]) -> None:
        """Set options of nova.conf by group; None removes an option."""
        self.config.change(groups)

    def create_database(self, name: str, backend: str, tables: sa.MetaData) -> sa.URL:
        """Create a database with *tables*, which ``close`` drops."""
        server = self.server(backend)
        url = server.create_database(f"nova_{self.number}_{name}", tables)
        self.databases.append((server, url))
        return url

    def add_cell(
        self,
        name: str | None,
        *,
        uuid: str | None = None,
        connection: str | None = OWN_URL,
        release: str | None = None,
        backend: str | None = None,
        database: Cell | None = None,
        disabled: bool = False,
    ) -> Cell:
        """Add a cell with a new database, or with the *database* of another cell.

        *connection* is stored as ``database_connection``, by default the real URL.
        """
        release = release or self.release
        if database is None:
            kind, tables = backend or self.cell_backend, cell_tables(release)
            url = self.create_database(f"cell{len(self.cells)}", kind, tables)
        else:
            url = database.url
        cell = Cell(self, uuid or str(uuid4()), name, url, release)
        self.insert(
            "cell_mappings",
            created_at=LONG_AGO,
            uuid=cell.uuid,
            name=name,
            transport_url="none:///" if cell.uuid == CELL0 else "rabbit://localhost/",
            database_connection=text(url) if connection == OWN_URL else connection,
            **known(self.tables["cell_mappings"], {"disabled": disabled}),
        )
        self.cells.append(cell)
        if len(self.cells) == 1:
            self.configure(database={"connection": text(url)})
        return cell

    def mapped_uuids(self, cell: Cell) -> set[str]:
        """Return the uuids of the instances that are mapped to *cell*."""
        rows = self.mappings().values()
        return {row.instance_uuid for row in rows if row.cell_id == cell.id}

    def journal(self, cell: Cell) -> list[dict[str, Any]]:
        """Return the journal entries of a cell in the order of their commits."""
        return self.journal_of(cell.uuid)

    def alembic(
        self,
        *arguments: str,
        cell: str | None = None,
        x: Extra | None = None,
        env: Mapping[str, str | None] | None = None,
        cwd: Path | None = None,
    ) -> Finished:
        """Run alembic with the arguments of ``start``, and wait for its end."""
        return self.start(*arguments, cell=cell, x=x, env=env, cwd=cwd).wait()

    def start(
        self,
        *arguments: str,
        cell: str | None = None,
        x: Extra | None = None,
        env: Mapping[str, str | None] | None = None,
        cwd: Path | None = None,
        module: str = "alembic",
    ) -> Running:
        """Start alembic with this cloud's nova.conf.

        *x* has further ``-x`` options: a list repeats an option, None removes one.
        *env* sets environment variables; None removes one. *module* is alembic, or a
        module that wraps it.
        """
        ours: Extra = {"config_file": str(self.config_file), "cell": cell}
        alembic = ["-m", module, "-c", str(INI)]
        return self.run(
            *alembic, *x_options(ours, x or {}), *arguments, env=env, cwd=cwd
        )

    def cellmap(self, *arguments: str) -> Finished:
        """Run ``cellmap``, and wait for its end."""
        command = ["cellmap_migrations.cli", "--config-file", str(self.config_file)]
        return self.run("-m", *command, *arguments).wait()

    def run(
        self,
        *arguments: str,
        env: Mapping[str, str | None] | None = None,
        cwd: Path | None = None,
    ) -> Running:
        """Start Python with *arguments*; ``close`` kills it."""
        running = Running([sys.executable, *arguments], env=env, cwd=cwd)
        self.commands.append(running)
        return running

    def close(self) -> None:
        """Kill all commands, start all servers, and drop the databases."""
        for command in self.commands:
            command.close()
        for server, url in self.databases:
            server.start()
            server.drop_database(url)
