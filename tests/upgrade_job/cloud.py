"""A cloud that nova built with its own commands, and copies of it."""

from pathlib import Path

import sqlalchemy as sa

from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.config import text
from cellmap_migrations.testing.rows import CELL0
from cellmap_migrations.testing.schema import cell_tables
from cellmap_migrations.testing.servers import Server
from tests.harness.asking import Nova
from tests.harness.manage import NovaCloud, copy_tables

NAMES = ("cell0", "cell1", "cell2")


class JobCloud(NovaCloud):
    """An API database, cell0 and two cells, as a release of nova makes them.

    With a *template* the databases are copies of that cloud's.
    """

    def __init__(
        self,
        folder: Path,
        server: Server,
        nova: Nova,
        template: "JobCloud | None" = None,
    ) -> None:
        self.template = template
        schema = nova.release.schema
        super().__init__(folder, lambda _: server, nova)
        for name in NAMES:
            url = self.create_database(name, "mysql", cell_tables(schema))
            self.configure(database={"connection": text(url)})
            uuid = self.copy_cell(name, url) if template else self.new_cell(name, url)
            self.cells.append(Cell(self, uuid, name, url, schema))
        self.configure(database={"connection": text(self.named("cell1").url)})

    def create_database(self, name: str, backend: str, tables: sa.MetaData) -> sa.URL:
        """Let nova build a database, or copy that of the template."""
        if self.template is None:
            return super().create_database(name, backend, tables)
        server, source = self.template.databases[len(self.databases)]
        url = server.create_database(f"nova_{self.number}_{name}")
        self.databases.append((server, url))
        copy_tables(server.admin(), str(source.database), str(url.database))
        return url

    def new_cell(self, name: str, url: sa.URL) -> str:
        """Let nova list a cell as an operator would; return its uuid."""
        command = ["cell_v2", "map_cell0", "--database_connection", text(url)]
        if name != "cell0":
            transport = ["--transport-url", f"rabbit://localhost/{name}"]
            command[1:2] = ["create_cell", "--verbose", "--name", name, *transport]
        done = self.manage(*command, check=True)
        return CELL0 if name == "cell0" else done.out.split()[-1]

    def copy_cell(self, name: str, url: sa.URL) -> str:
        """Say where the copy of a cell is; return its uuid."""
        table = self.tables["cell_mappings"]
        update = table.update().filter_by(name=name)
        self.execute(update.values(database_connection=text(url)))
        assert self.template
        return self.template.named(name).uuid

    def named(self, name: str) -> Cell:
        """Return a cell by its name."""
        return self.cells[NAMES.index(name)]

    def delete(self, copies: list[dict[str, str]]) -> None:
        """Let nova delete instances, each in the cell that is named."""
        found = [one | {"cell": self.named(one["cell"]).uuid} for one in copies]
        self.ask("destroy", found)
