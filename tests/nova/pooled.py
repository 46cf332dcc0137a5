"""A cloud whose databases are reached through a pooler, also by nova itself."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Protocol

import sqlalchemy as sa

from cellmap_migrations.outcomes import Outcome
from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.cloud import Cloud
from cellmap_migrations.testing.process import TIMEOUT
from cellmap_migrations.testing.servers import Server, plain_engine
from tests.nova.asking import Nova
from tests.nova.manage import NovaCloud, nova_text
from tests.nova.waiting import wait_for

ROWS = 150
# What nova writes beside an instance.
CHILDREN = ("instance_extra", "instance_info_caches", "instance_system_metadata")
KINDS = (Outcome.ALREADY, Outcome.FILLED, Outcome.MOVED, Outcome.ELSEWHERE)
SETTINGS = {"mysql": "SHOW SESSION VARIABLES", "postgresql": "SHOW ALL"}
# Of one session, or of one moment.
OWN = {
    *("pseudo_thread_id", "rand_seed1", "rand_seed2", "timestamp"),
    *("last_insert_id", "identity", "insert_id", "error_count", "warning_count"),
    # PgBouncer sets it for its client.
    "application_name",
}
PREPARED = "SELECT name, statement FROM pg_prepared_statements"


class Pooler(Protocol):
    """What lends connections to the server that the cloud's databases are on."""

    port: int

    def close(self) -> None:
        """Cut all connections."""


class PooledCloud(NovaCloud):
    """An API database and a cell that nova built, and a second, empty cell."""

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
        """Let nova build the API database and the first cell."""
        # What nova builds takes it seconds.
        of = Cloud if self.cells_of_nova else NovaCloud
        return of.create_database(self, name, backend, tables)

    @property
    def cells_of_nova(self) -> bool:
        """Whether nova has built as much as it writes to."""
        return bool(getattr(self, "cells", None))

    def fill(self) -> list[str]:
        """Begin again with unmapped instances, and some of other kinds."""
        for name in CHILDREN:
            with self.cell.engine.begin() as connection:
                connection.execute(sa.table(name).delete())
        self.clear()
        for kind in KINDS:
            self.cell.add_kind(kind, self.other)
        return self.cell.add_instances(ROWS)

    def lead(self, pooler: Pooler) -> None:
        """Let everybody reach the databases through *pooler*."""
        to = {cell.id: self.through(pooler, cell.url) for cell in self.cells}
        table = self.tables["cell_mappings"]
        for number, url in to.items():
            update = table.update().filter_by(id=number)
            self.execute(update.values(database_connection=nova_text(url)))
        self.configure(
            api_database={"connection": nova_text(self.through(pooler, self.url))},
            database={"connection": nova_text(to[self.cell.id])},
        )

    def through(self, pooler: Pooler, url: sa.URL) -> sa.URL:
        """Return the URL that leads to a database through *pooler*."""
        return url.set(port=pooler.port)

    @contextmanager
    def writing(self) -> Iterator["Writing"]:
        """Let nova write while the block runs; none of its writes may fail."""
        writing = Writing(self, self.cell)
        try:
            writing.go_on()
            yield writing
            writing.go_on()
        finally:
            writing.end()


class Writing:
    """Nova that boots and deletes servers; see tests/nova/writing.py."""

    def __init__(self, cloud: PooledCloud, cell: Cell) -> None:
        self.log, self.stop = cloud.folder / "written", cloud.folder / "stop"
        self.log.write_text("")
        self.stop.unlink(missing_ok=True)
        about = {"cell": cell.uuid, "log": str(self.log), "stop": str(self.stop)}
        self.ended = Event()
        self.thread = Thread(target=partial(self.write, cloud, about))
        self.thread.start()

    def write(self, cloud: PooledCloud, about: Mapping[str, str]) -> None:
        """Ask nova to write until it is told to stop."""
        try:
            cloud.ask("write", about)
        finally:
            self.ended.set()

    def lines(self) -> list[str]:
        """Return what became of each server so far: nothing, or an error."""
        return self.log.read_text().split("\n")[:-1]

    def go_on(self) -> None:
        """Return when nova has written some more; raise if a write has failed."""
        before = len(self.lines())
        wait_for(
            lambda: len(self.lines()) >= before + 3 or self.ended.is_set(),
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


def settings(url: sa.URL, count: int) -> list[dict[str, str]]:
    """Return the settings of *count* of the server's sessions, all used at once."""
    engine = plain_engine(url)
    with ExitStack() as stack:
        return [
            session_settings(stack.enter_context(engine.connect()))
            for _ in range(count)
        ]


def session_settings(connection: sa.Connection) -> dict[str, str]:
    """Return the settings of a session; its transaction is left open."""
    backend = connection.dialect.name
    if backend == "mysql":
        # What reads no table begins no transaction.
        connection.exec_driver_sql("START TRANSACTION")
    found = connection.exec_driver_sql(SETTINGS[backend])
    values = {row[0]: str(row[1]) for row in found if row[0] not in OWN}
    if backend == "postgresql":
        prepared = connection.exec_driver_sql(PREPARED)
        values["prepared statements"] = str(prepared.all())
    return values
