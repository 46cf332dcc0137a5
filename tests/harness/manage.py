"""A cloud that nova itself built, with its own commands."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from cellmap_migrations.testing.config import text
from cellmap_migrations.testing.process import Finished
from cellmap_migrations.testing.servers import Server
from tests.harness.asking import Nova
from tests.harness.cloud import Cloud


class NovaCloud(Cloud):
    """An API database, cell0 and cells with every table that nova has."""

    def __init__(
        self,
        folder: Path,
        server: Callable[[str], Server],
        nova: Nova,
        *,
        backend: str = "mysql",
    ) -> None:
        self.nova = nova
        super().__init__(folder, server, backend=backend, release=nova.release.schema)
        self.configure(DEFAULT={"transport_url": "fake:///"})

    def create_database(self, name: str, backend: str, tables: sa.MetaData) -> sa.URL:
        """Create a database and let nova fill it with its tables."""
        server = self.server(backend)
        url = server.create_database(f"nova_{self.number}_{name}")
        self.databases.append((server, url))
        if "instances" in tables.tables:
            self.configure(database={"connection": nova_text(url)})
            self.manage("db", "sync", "--local_cell", check=True)
        else:
            self.configure(api_database={"connection": nova_text(url)}, database={})
            self.manage("api_db", "sync", check=True)
        return url

    def insert(self, table: str, **columns: object) -> None:
        """Insert one row; the version of the schema is nova's to write."""
        if table != "alembic_version":
            super().insert(table, **columns)

    def manage(
        self, *arguments: str, check: bool = False, cell: str | None = None
    ) -> Finished:
        """Run nova-manage, if need be with the configuration of one cell."""
        return self.program("nova-manage", *arguments, check=check, cell=cell)

    def program(
        self, name: str, *arguments: str, check: bool = False, cell: str | None = None
    ) -> Finished:
        """Run a program of nova's on this cloud's nova.conf."""
        urls = {found.name: nova_text(found.url) for found in self.cells}
        url = {"OS_DATABASE__CONNECTION": urls[cell]} if cell else {}
        files = ["--config-file", str(self.config_file)]
        finished = self.nova.run(name, *files, *arguments, env=url)
        if check and finished.code:
            raise AssertionError(finished.out + finished.err)
        return finished

    def ask(self, verb: str, about: object = None) -> Any:
        """Return what nova's own code answers; see tests/harness/answering.py."""
        return self.nova.call(verb, about, "--config-file", str(self.config_file))


def nova_text(url: sa.URL) -> str:
    """Spell a URL with the driver that nova has for the database."""
    return text(url.set(drivername=url.drivername.replace("+psycopg", "+psycopg2")))
