"""Run poolers in front of a server, and read the settings of its sessions."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import sqlalchemy as sa

from cellmap_migrations.testing.servers import plain_engine
from tests.harness.multiplexer import Multiplexer
from tests.harness.pgbouncer import PgBouncer

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
    """Define a program that shares connections to a database server."""

    port: int

    def close(self) -> None:
        """Cut all connections."""


@contextmanager
def pgbouncer(url: sa.URL, mode: str, size: int) -> Iterator[Pooler]:
    """Run PgBouncer in front of the server at *url* until the block ends."""
    assert url.port
    # Not pytest's own folder: only root may enter that.
    with (
        TemporaryDirectory(prefix="pgbouncer-") as folder,
        closing(PgBouncer(Path(folder), url.port, mode, size)) as pooler,
    ):
        yield pooler


@contextmanager
def multiplexer(url: sa.URL, size: int) -> Iterator[Pooler]:
    """Run the MySQL proxy in front of the server at *url* until the block ends."""
    assert url.port
    with closing(Multiplexer(url.port, size)) as pooler:
        yield pooler


def through(pooler: Pooler, url: sa.URL) -> sa.URL:
    """Return the URL that leads to a database through *pooler*."""
    return url.set(port=pooler.port)


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
        # A statement that reads no table begins no transaction.
        connection.exec_driver_sql("START TRANSACTION")
    found = connection.exec_driver_sql(SETTINGS[backend])
    values = {row[0]: str(row[1]) for row in found if row[0] not in OWN}
    if backend == "postgresql":
        prepared = connection.exec_driver_sql(PREPARED)
        values["prepared statements"] = str(prepared.all())
    return values
