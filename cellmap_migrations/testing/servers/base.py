"""Define the interface of a database server for tests."""

from abc import ABC, abstractmethod
from pathlib import Path

import sqlalchemy as sa

# Both words appear in no other text, so that output which holds a part of the
# password, raw or percent-encoded or cut at a character, is caught as well.
SECRETS = ("xyzzy", "plugh")
PASSWORD = "{}%@:/{{{}".format(*SECRETS)
HOST = "127.0.0.1"


class NotInstalled(Exception):
    """Report a missing library or program, and how to install it."""


class Server(ABC):
    """Run a database server of this test run in *folder*."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    @abstractmethod
    def version(cls) -> str:
        """Return the name and version of the server; raise NotInstalled."""

    @abstractmethod
    def start(self) -> None:
        """Start or thaw the server, unless it serves already."""

    @abstractmethod
    def stop(self) -> None:
        """Shut down in the usual way; keep the databases for the next start."""

    @abstractmethod
    def freeze(self) -> None:
        """Stop every process of the server: connections hang, and are not closed."""

    @abstractmethod
    def thaw(self) -> None:
        """Continue all processes of a frozen server."""

    @abstractmethod
    def close(self) -> None:
        """Stop the server if it runs, and release its files."""

    @abstractmethod
    def admin(self) -> sa.Engine:
        """Return an engine of the administrator in AUTOCOMMIT mode."""

    @abstractmethod
    def create_database(
        self, name: str, tables: sa.MetaData | None = None, *, owner: str = "nova"
    ) -> sa.URL:
        """Create a database with *tables*; *owner* may do everything in it."""

    @abstractmethod
    def drop_database(self, url: sa.URL) -> None:
        """Drop a database, even if clients are connected to it."""

    @abstractmethod
    def readonly(self, url: sa.URL) -> sa.URL:
        """Return a URL of a new user that may only SELECT from the tables there are."""


def plain_engine(url: sa.URL) -> sa.Engine:
    """Return an engine that closes each connection after its use."""
    # PyMySQL loads the system's certificates for each connection: 25 ms.
    no_tls = {"ssl_disabled": True} if url.get_dialect().name == "mysql" else {}
    return sa.create_engine(url, poolclass=sa.NullPool, connect_args=no_tls)


def build(url: sa.URL, tables: sa.MetaData) -> None:
    """Create tables in an empty database."""
    with plain_engine(url).begin() as connection:
        tables.create_all(connection, checkfirst=False)
