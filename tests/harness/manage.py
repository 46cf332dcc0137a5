"""Make clouds with nova's own commands."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from cellmap_migrations.testing.config import text
from cellmap_migrations.testing.process import Finished
from cellmap_migrations.testing.servers import Server
from tests.harness.asking import Nova
from tests.harness.cloud import Cloud


class NovaCloud(Cloud):
    """Hold an API database, cell0 and cells with every table that nova has."""

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
        sync: Sequence[str]
        if "instances" in tables.tables:
            self.configure(database={"connection": nova_text(url)})
            sync = ("db", "sync", "--local_cell")
        else:
            self.configure(api_database={"connection": nova_text(url)}, database={})
            sync = ("api_db", "sync")
        if backend == "mysql":
            self.sync_once(server, url, sync)
        else:
            self.manage(*sync, check=True)
        return url

    def sync_once(self, server: Server, url: sa.URL, sync: Sequence[str]) -> None:
        """Let nova fill a database, or copy one that it has filled on this server."""
        kept = f"{sync[0]}_{self.nova.release.schema}"
        if kept in sa.inspect(server.admin()).get_schema_names():
            copy_tables(server.admin(), kept, str(url.database))
            return
        self.manage(*sync, check=True)
        server.create_database(kept)
        copy_tables(server.admin(), str(url.database), kept)

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
        """Run one of nova's programs on this cloud's nova.conf."""
        urls = {found.name: nova_text(found.url) for found in self.cells}
        url = {"OS_DATABASE__CONNECTION": urls[cell]} if cell else {}
        files = ["--config-file", str(self.config_file)]
        finished = self.nova.run(name, *files, *arguments, env=url)
        if check and finished.code:
            raise AssertionError(finished.out + finished.err)
        return finished

    def ask(self, verb: str, about: object = None) -> Any:
        """Return the answer of nova's own code; see tests/harness/answering.py."""
        return self.nova.call(verb, about, "--config-file", str(self.config_file))


def nova_text(url: sa.URL) -> str:
    """Spell a URL with the driver that nova has for the database."""
    return text(url.set(drivername=url.drivername.replace("+psycopg", "+psycopg2")))


def copy_tables(engine: sa.Engine, source: str, target: str) -> None:
    """Copy every table of a database, with its keys and rows."""
    with engine.connect() as connection:
        run = connection.exec_driver_sql
        run("SET foreign_key_checks = 0")
        run(f"USE `{target}`")
        for name in run(f"SHOW TABLES FROM `{source}`").scalars().all():
            run(run(f"SHOW CREATE TABLE `{source}`.`{name}`").one()[1])
            run(f"INSERT INTO `{name}` SELECT * FROM `{source}`.`{name}`")
        # The connection goes back to a pool.
        run("USE mysql")
        run("SET foreign_key_checks = 1")
