"""A cloud for one test: an API database, its cells, and commands run on them."""

import itertools
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from signal import SIGSTOP, Signals
from typing import Any
from uuid import uuid4

import sqlalchemy as sa

from tests.nova.api import Api
from tests.nova.cell import Cell
from tests.nova.config import Config
from tests.nova.process import Extra, Finished, Running, x_options
from tests.nova.rows import CELL0, LONG_AGO, known
from tests.nova.schema import api_tables, cell_tables
from tests.nova.servers import Server
from tests.nova.sessions import Sessions
from tests.nova.waiting import wait_for

ROOT = Path(__file__).parents[2]
# Stands for a cell's own URL where the text to store is asked for.
OWN_URL = "own"
NUMBERS = itertools.count(1)


class Cloud(Api):
    """A cloud of *release* whose API database is on *backend*, without cells yet."""

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
        """The cloud's nova.conf."""
        return self.config.path

    def configure(self, **groups: Mapping[str, object]) -> None:
        """Add options to nova.conf, by group; None takes one out again."""
        self.config.change(groups)

    def create_database(self, name: str, backend: str, tables: sa.MetaData) -> sa.URL:
        """Create a database with *tables* that lives as long as the cloud."""
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
        """Add a cell, with a database of its own unless it shares that of another.

        *connection* is the text to store instead of the URL.
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

    def map(self, uuid: str, cell: Cell | None, **columns: object) -> None:
        """Map an instance as nova does; no cell means that it is being built."""
        self.map_to(None if cell is None else cell.id, [uuid], **columns)

    def mapped_uuids(self, cell: Cell) -> set[str]:
        """Return the uuids that are mapped to *cell*."""
        rows = self.mappings().values()
        return {row.instance_uuid for row in rows if row.cell_id == cell.id}

    def journal(self, cell: Cell) -> list[dict[str, Any]]:
        """Return the batches of a cell in the order of their commits."""
        return self.journal_of(cell.uuid)

    def sessions(self, url: sa.URL | None = None) -> Sessions:
        """Return who is connected to the API database, or to that at *url*."""
        url = url or self.url
        return Sessions(self.server(url.get_backend_name()), url)

    def clear(self) -> None:
        """Empty instances, mappings and the tables that are ours; cells stay."""
        for cell in self.cells:
            with cell.engine.begin() as connection:
                connection.execute(cell.instances.delete())
        names = {
            "instance_mappings",
            "build_requests",
            "cellmap_version",
            "cellmap_journal",
        }
        for name in names.intersection(sa.inspect(self.engine).get_table_names()):
            self.execute(sa.table(name).delete())

    def alembic(
        self,
        *arguments: str,
        cell: str | None = None,
        x: Extra | None = None,
        env: Mapping[str, str | None] | None = None,
        cwd: Path | None = None,
    ) -> Finished:
        """Run alembic to its end; the arguments are those of start()."""
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
        """Start alembic on this cloud's nova.conf.

        *x* are further ``-x`` options, lists for repeated ones; None takes out one of
        ours. *env* changes environment variables; None removes one. *module* may be
        one that does something around alembic.
        """
        ours: Extra = {"config_file": str(self.config_file), "cell": cell}
        alembic = ["-m", module, "-c", str(ROOT / "alembic.ini")]
        return self.run(
            *alembic, *x_options(ours, x or {}), *arguments, env=env, cwd=cwd
        )

    def start_until(
        self,
        moment: str,
        number: Signals,
        *,
        cell: str,
        x: Extra | None = None,
    ) -> Running:
        """Start an upgrade that sends itself a signal at a moment of its work.

        The *moment* is spelled as tests/nova/moment.py says.
        """
        env = {"MOMENT": moment, "MOMENT_SIGNAL": number.name}
        return self.start(
            "upgrade", "head", cell=cell, x=x, env=env, module="tests.nova.moment"
        )

    def start_frozen(
        self, moment: str, *, cell: str, x: Extra | None = None
    ) -> Running:
        """Start an upgrade, and return when it has stopped itself at *moment*."""
        running = self.start_until(moment, SIGSTOP, cell=cell, x=x)
        wait_for(lambda: running.frozen() or not running.running(), moment)
        assert running.running(), f"never came to {moment}\n{running.err}"
        return running

    def cellmap(self, command: str, *arguments: str) -> Finished:
        """Run a command of the console script to its end."""
        files = ["--config-file", str(self.config_file)]
        return self.run(
            "-m", "cellmap_migrations.cli", *files, command, *arguments
        ).wait()

    def run(
        self,
        *arguments: str,
        env: Mapping[str, str | None] | None = None,
        cwd: Path | None = None,
    ) -> Running:
        """Start Python with *arguments*, in the checkout unless told otherwise."""
        running = Running([sys.executable, *arguments], env=env, cwd=cwd or ROOT)
        self.commands.append(running)
        return running

    def close(self) -> None:
        """Kill what still runs and drop the databases, whatever a test did to them."""
        for command in self.commands:
            command.close()
        for server, url in self.databases:
            server.start()
            server.drop_database(url)


def text(url: sa.URL) -> str:
    """Spell a URL as it is stored and configured, with its password."""
    return url.render_as_string(hide_password=False)
