"""What a test may ask of a database server."""

from abc import ABC, abstractmethod
from pathlib import Path

import sqlalchemy as sa

# Both words appear in no other text, so that output which holds a part of the
# password, raw or percent-encoded or cut at a character, is caught as well.
SECRETS = ("xyzzy", "plugh")
PASSWORD = "{}%@:/{{{}".format(*SECRETS)
HOST = "127.0.0.1"


class NotInstalled(Exception):
    """A library or a program that a server needs is missing; says how to install it."""


class Server(ABC):
    """A database server of this test run, in *folder*; only we connect to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    @abstractmethod
    def version(cls) -> str:
        """Say which server would run, without starting it; raise if none can."""

    @abstractmethod
    def start(self) -> None:
        """Serve: start, thaw, or nothing when it serves already."""

    @abstractmethod
    def stop(self) -> None:
        """Shut down as an operator would; databases stay for the next start."""

    @abstractmethod
    def freeze(self) -> None:
        """Stop every process of the server: connections hang and do not break."""

    @abstractmethod
    def thaw(self) -> None:
        """Go on after a freeze."""

    @abstractmethod
    def close(self) -> None:
        """End for good, also when it never started."""

    @abstractmethod
    def admin(self) -> sa.Engine:
        """Return an engine of the administrator, each statement its own commit."""

    @abstractmethod
    def create_database(
        self, name: str, tables: sa.MetaData | None = None, *, owner: str = "nova"
    ) -> sa.URL:
        """Create a database with *tables*; *owner* may do everything in it."""

    @abstractmethod
    def drop_database(self, url: sa.URL) -> None:
        """Drop a database, whoever is connected to it."""

    @abstractmethod
    def readonly(self, url: sa.URL) -> sa.URL:
        """Return a URL of a new user that may only SELECT from the tables there are."""


def plain_engine(url: sa.URL) -> sa.Engine:
    """Return an engine of the tests themselves, which keeps no connection open."""
    # PyMySQL loads the system's certificates for each connection: 25 ms.
    no_tls = {"ssl_disabled": True} if url.get_dialect().name == "mysql" else {}
    return sa.create_engine(url, poolclass=sa.NullPool, connect_args=no_tls)


def build(url: sa.URL, tables: sa.MetaData) -> None:
    """Create tables in an empty database."""
    with plain_engine(url).begin() as connection:
        tables.create_all(connection, checkfirst=False)
