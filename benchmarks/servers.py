"""The servers of the tests, with the memory that a server of a cloud has.

What makes a commit durable is the server's default; see ``SHOWN`` for what is reported.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

from cellmap_migrations.testing.servers import Server
from cellmap_migrations.testing.servers.mariadb import MariaDB as TestMariaDB
from cellmap_migrations.testing.servers.postgresql import PostgreSQL as TestPostgreSQL
from cellmap_migrations.testing.servers.sqlite import SQLite
from tests.harness.newer import MySQL9

OF_INNODB = (
    "innodb_buffer_pool_size",
    "innodb_flush_log_at_trx_commit",
    "innodb_flush_method",
    "innodb_doublewrite",
    "log_bin",
    "version",
)

SHOWN: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "sqlite": (),
        "mysql": (*OF_INNODB, "innodb_log_file_size"),
        "mysql9": (*OF_INNODB, "innodb_redo_log_capacity"),
        "postgresql": (
            "shared_buffers",
            "max_wal_size",
            "fsync",
            "synchronous_commit",
            "full_page_writes",
            "server_version",
        ),
    }
)


class MariaDB(TestMariaDB):
    """MariaDB that holds a cell of a million instances in memory."""

    def command(self) -> list[str]:
        """Return the command that serves the folder in the foreground."""
        return [
            *super().command(),
            "--innodb-buffer-pool-size=2G",
            "--innodb-log-file-size=1G",
            "--innodb-flush-log-at-trx-commit=1",
            "--innodb-flush-method=O_DIRECT",
            "--sync-frm=ON",
            # pt-archiver loads files that its client sends.
            "--local-infile=ON",
        ]


class MySQL(MySQL9):
    """MySQL 9 that holds a cell of a million instances in memory."""

    def command(self) -> list[str]:
        """Return the command that serves the folder in the foreground."""
        return [
            *super().command(),
            "--innodb-buffer-pool-size=2G",
            "--innodb-redo-log-capacity=2G",
            "--innodb-flush-log-at-trx-commit=1",
            "--innodb-flush-method=O_DIRECT",
        ]


class PostgreSQL(TestPostgreSQL):
    """PostgreSQL that holds a cell of a million instances in memory."""

    def command(self) -> list[str]:
        """Return the command that serves the folder in the foreground."""
        return [
            *super().command(),
            "--shared_buffers=2GB",
            "--max_wal_size=4GB",
            "--fsync=on",
        ]


SERVERS: Mapping[str, type[Server]] = MappingProxyType(
    {"sqlite": SQLite, "mysql": MariaDB, "mysql9": MySQL, "postgresql": PostgreSQL}
)


@contextmanager
def serving(database: str) -> Iterator[Server]:
    """Run a server in a folder that is gone afterwards."""
    with TemporaryDirectory(prefix="bench-") as name, ExitStack() as stack:
        server = SERVERS[database](Path(name))
        stack.callback(server.close)
        server.start()
        yield server


def settings(server: Server, database: str) -> dict[str, str]:
    """Ask a server for the settings that matter here."""
    if not SHOWN[database]:
        return {}
    show = "SHOW {}" if database == "postgresql" else "SELECT @@GLOBAL.{}"
    with server.admin().connect() as connection:
        return {
            name: str(connection.exec_driver_sql(show.format(name)).scalar_one())
            for name in SHOWN[database]
        }
