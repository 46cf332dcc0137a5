"""Make a small cloud whose first state is restored within milliseconds."""

import re
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from cellmap_migrations.testing.rows import LONG_AGO, PROJECT, USER, now
from cellmap_migrations.testing.servers import Server
from tests.harness.cloud import Cloud
from tests.interleavings import copies
from tests.interleavings.actions import (
    API,
    HERE,
    PREFIXES,
    THERE,
    Prefix,
    Step,
)
from tests.interleavings.kinds import STILL

# Seconds. The instances of a world stay young as long as it is used.
GRACE = 36_000

# The instances are committed in about six batches.
BATCH = 14

# MySQL waits for a lock for a second at least, except with NOWAIT.
LOOK = "SELECT 1 FROM instance_mappings WHERE instance_uuid = :uuid FOR UPDATE NOWAIT"

# SQLSTATE of PostgreSQL, numbers of MariaDB and MySQL, words of SQLite.
LOCKED = ("55P03", "(1205,", "(3572,", "database is locked")

PARAMETERS = re.compile(r":(\w+)")

Rows = dict[str, dict[str, Any]]

# Without the ids: they depend on the order of two steps.
COMPARED = (
    "uuid",
    "project_id",
    "user_id",
    "host",
    "vm_state",
    "task_state",
    "hidden",
    "created_at",
)


@dataclass(frozen=True, kw_only=True)
class State:
    """Hold the rows of a cloud; instances and mappings by uuid."""

    mappings: Rows
    requests: Rows
    here: Rows
    there: Rows
    shadow: Rows
    cells: tuple[int, ...]
    journal: list[dict[str, Any]]
    versions: dict[str, str]


class World:
    """Make a cloud with two cells, and an instance for each prefix of each action."""

    writers = 1
    # Instances to which nothing happens.
    still: Sequence[Prefix] = STILL

    def __init__(
        self, folder: Path, server: Callable[[str], Server], backend: str
    ) -> None:
        self.backend, self.server = backend, server(backend)
        self.cloud = Cloud(folder, server, backend=backend)
        self.here = self.cloud.add_cell("cell1")
        self.there = self.cloud.add_cell("cell2")
        self.cloud.configure(
            cellmap={
                "batch_rows_min": BATCH,
                "batch_rows_max": BATCH,
                "writers": self.writers,
                "grace_seconds": GRACE,
                "attempts": 3,
                "connect_timeout": 5,
            }
        )
        self.engines = {
            API: self.cloud.engine,
            HERE: self.here.engine,
            THERE: self.there.engine,
        }
        if backend == "sqlite":
            # Of its own: another world may use one at the same time.
            self.in_memory = partial(in_memory)
            sa.event.listen(sa.Engine, "connect", self.in_memory)
        self.places = {str(each.url.database): n for n, each in self.engines.items()}
        self.values = {
            "here": self.here.id,
            "there": self.there.id,
            "project": PROJECT,
            "user": USER,
            "old": LONG_AGO,
            "young": now() - timedelta(seconds=60),
        }
        self.holes: dict[str, int] = {}
        self.build()
        self.restore = copies.save(self.server, [*self.places], backend)

    def build(self) -> None:
        """Insert the rows from before the run, in an order that mixes the kinds."""
        mixed = sorted(
            [*PREFIXES.values(), *self.still[1:]], key=lambda each: each.uuid
        )
        # SQLite gives the highest id again: that must stay.
        for prefix in [*mixed, self.still[0]]:
            if ":hole" in "".join(each.sql for each in prefix.action.steps):
                self.do(prefix, Step(HERE, self.here_row()))
                self.holes[prefix.uuid] = self.highest_id()
            for step in prefix.action.before:
                self.do(prefix, step)
        with self.engines[HERE].begin() as connection:
            for number in self.holes.values():
                gone = sa.text("DELETE FROM instances WHERE id = :id")
                connection.execute(gone, {"id": number})

    def here_row(self) -> str:
        """Return the SQL of an instance that takes an id."""
        return "INSERT INTO instances (uuid) VALUES (:uuid)"

    def highest_id(self) -> int:
        """Return the id of the last instance."""
        with self.engines[HERE].connect() as connection:
            return int(connection.scalar(sa.text("SELECT max(id) FROM instances")))

    def close(self) -> None:
        """Drop the databases."""
        if self.backend == "sqlite":
            sa.event.remove(sa.Engine, "connect", self.in_memory)
        else:
            for name in self.places:
                copies.forget(self.server, name, self.cloud.url)
        self.cloud.close()

    def do(self, prefix: Prefix, step: Step, *, patience: int = 0) -> None:
        """Commit a step of nova's, or raise if it waits for a lock."""
        more = {"uuid": prefix.uuid, "hole": self.holes.get(prefix.uuid)}
        values = {**self.values, **more}

        def known(name: str) -> sa.BindParameter[Any]:
            return sa.bindparam(name, values[name])

        with self.engines[step.place].begin() as connection:
            connection.exec_driver_sql(patient(self.backend, patience))
            for sql in step.sql.split("; "):
                if self.backend == "mysql" and "instance_mappings" in sql:
                    connection.execute(sa.text(LOOK), {"uuid": prefix.uuid})
                names = PARAMETERS.findall(sql)
                # With its type: SQLite stores times as SQLAlchemy spells them.
                text = sa.text(sql).bindparams(*(known(name) for name in names))
                connection.execute(text)

    def finds(self, prefix: Prefix) -> bool:
        """Return True if the API finds a mapping of the instance."""
        text = "SELECT count(*) FROM instance_mappings WHERE instance_uuid = :uuid"
        with self.engines[API].connect() as connection:
            return bool(connection.scalar(sa.text(text), {"uuid": prefix.uuid}))

    def state(self) -> State:
        """Return all rows."""
        with self.engines[API].connect() as connection:
            mappings = keyed(connection, "instance_mappings", "instance_uuid")
            requests = keyed(connection, "build_requests", "instance_uuid")
            cells = tuple(row["id"] for row in rows(connection, "cell_mappings"))
            ours = sa.inspect(connection).has_table("cellmap_version")
            journal = rows(connection, "cellmap_journal") if ours else []
            versions = rows(connection, "cellmap_version") if ours else []
        with self.engines[HERE].connect() as connection:
            here = keyed(connection, "instances", "uuid")
            shadow = keyed(connection, "shadow_instances", "uuid")
        with self.engines[THERE].connect() as connection:
            there = keyed(connection, "instances", "uuid")
        return State(
            mappings=mappings,
            requests=requests,
            here=here,
            there=there,
            shadow=shadow,
            cells=cells,
            journal=journal,
            versions={row["cell_uuid"]: row["version_num"] for row in versions},
        )


def patient(backend: str, patience: int) -> str:
    """Return the SQL that limits waits for locks to *patience* milliseconds."""
    if backend == "sqlite":
        return f"PRAGMA busy_timeout = {patience}"
    if backend == "mysql":
        # Seconds. MySQL makes 1 of 0.
        return f"SET SESSION innodb_lock_wait_timeout = {patience // 1000}"
    return f"SET LOCAL lock_timeout = '{patience or 50}ms'"


def locked(error: sa.exc.OperationalError) -> bool:
    """Return True if another session holds a lock that a statement needs."""
    found = f"{getattr(error.orig, 'sqlstate', '')} {error.orig}"
    return any(each in found for each in LOCKED)


def in_memory(connection: Any, _: Any) -> None:
    """Let SQLite not wait for the disk: no case survives a crash of the machine."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")


def rows(connection: sa.Connection, table: str) -> list[dict[str, Any]]:
    found = connection.exec_driver_sql(f"SELECT * FROM {table}")
    return [dict(row) for row in found.mappings()]


def keyed(connection: sa.Connection, table: str, key: str) -> Rows:
    return {row[key]: row for row in rows(connection, table)}


def same_cells(one: State, other: State) -> Iterable[str]:
    """Yield a line for each instance that differs between two states."""
    for place in (HERE, THERE):
        ours, theirs = getattr(one, place), getattr(other, place)
        for uuid in ours.keys() | theirs.keys():
            if seen(ours.get(uuid)) != seen(theirs.get(uuid)):
                yield uuid


def seen(row: Mapping[str, Any] | None) -> Any:
    if row is None:
        return None
    return [bool(row["deleted"]), *(row[name] for name in COMPARED)]
