"""Make clouds that all clients, also nova, reach through a pooler."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event, Thread

import sqlalchemy as sa

from cellmap_migrations.nova.rules import Outcome
from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.process import TIMEOUT
from cellmap_migrations.testing.servers import Server
from tests.harness import second_look
from tests.harness.asking import Nova
from tests.harness.manage import NovaCloud, nova_text
from tests.harness.poolers import Pooler, through
from tests.harness.waiting import wait_for

ROWS = 150

# What nova writes beside an instance.
CHILDREN = ("instance_extra", "instance_info_caches", "instance_system_metadata")

KINDS = (Outcome.ALREADY, Outcome.FILLED, Outcome.MOVED, Outcome.ELSEWHERE)


class PooledCloud(NovaCloud):
    """Hold an API database and a cell that nova built, and a second, empty cell."""

    def __init__(
        self,
        folder: Path,
        server: Callable[[str], Server],
        nova: Nova,
        *,
        backend: str,
    ) -> None:
        self.folder = folder
        super().__init__(folder, server, nova, backend=backend)
        self.configure(cellmap={"batch_rows_min": 50, "batch_rows_max": 50})
        self.cell, self.other = self.add_cell("cell1"), self.add_cell("cell2")

    def create_database(self, name: str, backend: str, tables: sa.MetaData) -> sa.URL:
        """Let nova build the API database and the first cell; it writes to no other."""
        if self.cells:
            return super(NovaCloud, self).create_database(name, backend, tables)
        return super().create_database(name, backend, tables)

    def fill(self) -> list[str]:
        """Begin again with unmapped instances, and some of other kinds."""
        for name in CHILDREN:
            with self.cell.engine.begin() as connection:
                connection.execute(sa.table(name).delete())
        self.clear()
        for kind in KINDS:
            self.cell.add_kind(kind, self.other)
        return self.cell.add_instances(ROWS)

    def lead_through(self, pooler: Pooler) -> None:
        """Let all clients reach the databases through *pooler*."""
        to = {cell.id: through(pooler, cell.url) for cell in self.cells}
        table = self.tables["cell_mappings"]
        for number, url in to.items():
            update = table.update().filter_by(id=number)
            self.execute(update.values(database_connection=nova_text(url)))
        self.configure(
            api_database={"connection": nova_text(through(pooler, self.url))},
            database={"connection": nova_text(to[self.cell.id])},
        )

    @contextmanager
    def writing(self) -> Iterator["Writing"]:
        """Let nova write while the block runs; none of its writes may fail."""
        writing = Writing(self, self.cell)
        try:
            writing.go_on()
            with second_look.in_earnest():
                yield writing
            writing.go_on()
        finally:
            writing.end()


class Writing:
    """Let nova boot and delete servers; see tests/harness/writing.py."""

    def __init__(self, cloud: PooledCloud, cell: Cell) -> None:
        self.log, self.stop = cloud.folder / "written", cloud.folder / "stop"
        self.log.write_text("")
        self.stop.unlink(missing_ok=True)
        about = {"cell": cell.uuid, "log": str(self.log), "stop": str(self.stop)}
        self.ended = Event()
        self.thread = Thread(target=partial(self.write, cloud, about))
        self.thread.start()

    def write(self, cloud: PooledCloud, about: Mapping[str, str]) -> None:
        """Let nova write until ``end`` is called."""
        try:
            cloud.ask("write", about)
        finally:
            self.ended.set()

    def lines(self) -> list[str]:
        """Return a line for each write so far: its error, or an empty line."""
        return self.log.read_text().split("\n")[:-1]

    def go_on(self) -> None:
        """Return when nova has written some more; raise if a write has failed."""
        before = len(self.lines())
        wait_for(
            lambda: len(self.lines()) >= before + 2 or self.ended.is_set(),
            "nova writes",
            seconds=TIMEOUT,
        )
        failed = [line for line in self.lines() if line]
        assert not failed, f"{len(failed)} writes of nova's failed, as in: {failed[0]}"
        assert not self.ended.is_set(), "nova has ended"

    def end(self) -> None:
        """Let nova finish the server in hand."""
        self.stop.touch()
        self.thread.join()
