"""Create databases of SQLite, which are files."""

import sqlite3
from functools import cached_property
from pathlib import Path

import sqlalchemy as sa

from cellmap_migrations.testing.servers.base import Server, build


class SQLite(Server):
    """Create files; methods that need a server raise NotImplementedError."""

    @cached_property
    def files(self) -> dict[sa.MetaData | None, bytes]:
        """Hold the content of a new file with the same tables, which is then copied."""
        return {}

    @classmethod
    def version(cls) -> str:
        """Return the version of Python's SQLite library."""
        return f"SQLite {sqlite3.sqlite_version}"

    def start(self) -> None:
        """Do nothing: a file is always there."""

    def stop(self) -> None:
        """Raise: there is nothing to stop."""
        raise NotImplementedError

    def freeze(self) -> None:
        """Raise: there is nothing to freeze."""
        raise NotImplementedError

    def thaw(self) -> None:
        """Raise: there is nothing to thaw."""
        raise NotImplementedError

    def close(self) -> None:
        """Do nothing: the folder goes with its files."""

    def admin(self) -> sa.Engine:
        """Raise: a file has no administrator."""
        raise NotImplementedError

    def create_database(
        self, name: str, tables: sa.MetaData | None = None, *, owner: str = "nova"
    ) -> sa.URL:
        """Create a file with *tables*; *owner* means nothing here."""
        del owner
        path = self.folder / f"{name}.db"
        url = sa.URL.create("sqlite", database=str(path))
        if tables in self.files:
            path.write_bytes(self.files[tables])
        else:
            build(url, tables or sa.MetaData())
            self.files[tables] = path.read_bytes()
        return url

    def drop_database(self, url: sa.URL) -> None:
        """Delete the file and what SQLite left beside it."""
        path = Path(str(url.database))
        for file in path.parent.glob(f"{path.name}*"):
            file.unlink()

    def readonly(self, url: sa.URL) -> sa.URL:
        """Return the form of the URL that opens the file for reading only."""
        query = {"mode": "ro", "uri": "true"}
        return url.set(database=f"file:{url.database}", query=query)
