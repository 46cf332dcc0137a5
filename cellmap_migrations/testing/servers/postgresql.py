"""PostgreSQL in a temporary folder."""

import subprocess
from functools import cached_property
from pathlib import Path
from signal import SIGINT
from typing import ClassVar

import sqlalchemy as sa
from pytest_postgresql.janitor import DatabaseJanitor

from cellmap_migrations.testing.servers.base import HOST, PASSWORD, build, plain_engine
from cellmap_migrations.testing.servers.daemon import find, give, run
from cellmap_migrations.testing.servers.network import NetworkServer


class PostgreSQL(NetworkServer):
    """Run PostgreSQL with its own defaults, except that it does not wait for the disk.

    A committed transaction survives a crash of the server but not of the machine.
    """

    driver: ClassVar = "postgresql+psycopg"
    account: ClassVar = "postgres"
    admin_database: ClassVar = "postgres"
    # The fast shutdown; SIGTERM would wait until every client has left.
    stop_signal: ClassVar = SIGINT
    # SCRAM takes as long as everything else that a new connection needs.
    auth: ClassVar = "md5"

    @classmethod
    def program(cls, name: str) -> str:
        """Return the path of a program of the newest release that is installed."""
        found = Path("/usr/lib/postgresql").glob("*/bin")
        newest = sorted(found, key=lambda path: int(path.parent.name), reverse=True)
        return find(name, *map(str, newest), package="postgresql")

    @classmethod
    def version(cls) -> str:
        """Say which server would run, without starting it; raise if none can."""
        line = subprocess.check_output([cls.program("postgres"), "--version"])
        return f"PostgreSQL {line.decode().split()[2]}"

    def install(self) -> None:
        """Create the cluster and its administrator, who logs in with the password."""
        password = self.folder / "password"
        password.touch(0o600)
        password.write_text(PASSWORD)
        give(password, self.account)
        install = [
            self.program("initdb"),
            f"--pgdata={self.folder}/data",
            "--username=admin",
            f"--pwfile={password}",
            f"--auth={self.auth}",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ]
        run(install, self.folder, account=self.account)

    def command(self) -> list[str]:
        """Return the command that serves the folder in the foreground."""
        return [
            self.program("postgres"),
            "-D",
            f"{self.folder}/data",
            "-p",
            str(self.port),
            f"--listen_addresses={HOST}",
            "--unix_socket_directories=",
            "--max_connections=200",
            "--fsync=off",
        ]

    @cached_property
    def templates(self) -> dict[tuple[sa.MetaData, str], str]:
        """Hold the names of the databases to copy, by tables and owner."""
        return {}

    def create_database(
        self, name: str, tables: sa.MetaData | None = None, *, owner: str = "nova"
    ) -> sa.URL:
        """Create a database with *tables*; *owner* may do everything in it."""
        self.create_role(owner)
        if tables is None:
            self.janitor(name).init()
            self.execute(f'ALTER DATABASE "{name}" OWNER TO "{owner}"')
        else:
            self.copy_database(self.template(tables, owner), name, owner=owner)
        return self.url(name, owner)

    def copy_database(self, source: str, name: str, *, owner: str = "nova") -> None:
        """Create a copy of the database *source*, to which no client is connected."""
        copied = f'TEMPLATE "{source}" {self.copying}'
        self.execute(f'CREATE DATABASE "{name}" OWNER "{owner}" {copied}')

    @cached_property
    def copying(self) -> str:
        """Return how a small database is copied: its files, and not page by page.

        PostgreSQL 15 copies by the log, which takes five times as long without fsync.
        """
        with self.engine.connect() as connection:
            version = connection.dialect.server_version_info
        return "STRATEGY file_copy" if version and version >= (15,) else ""

    def janitor(self, name: str) -> DatabaseJanitor:
        """Return the helper that creates and drops a database, in use or not."""
        return DatabaseJanitor(
            user="admin",
            host=HOST,
            port=self.port,
            dbname=name,
            password=PASSWORD,
        )

    def template(self, tables: sa.MetaData, owner: str) -> str:
        """Return a database to copy; creating the tables takes twice as long."""
        key = tables, owner
        if key not in self.templates:
            name = f"tables{len(self.templates)}"
            build(self.create_database(name, owner=owner), tables)
            self.templates[key] = name
        return self.templates[key]

    def drop_database(self, url: sa.URL) -> None:
        """Drop a database, even if clients are connected to it."""
        assert url.database
        self.janitor(url.database).drop()

    def readonly(self, url: sa.URL) -> sa.URL:
        """Return a URL of a new user that may only SELECT from the tables there are."""
        reader = f"reader_{url.database}"
        self.create_role(reader)
        with plain_engine(url).begin() as connection:
            grant = f'GRANT SELECT ON ALL TABLES IN SCHEMA public TO "{reader}"'
            connection.exec_driver_sql(grant)
        return url.set(username=reader)

    def create_role(self, name: str) -> None:
        """Create a role that may log in, unless there is one of that name."""
        known = sa.text("SELECT 1 FROM pg_roles WHERE rolname = :name")
        with self.engine.connect() as connection:
            exists = connection.scalar(known, {"name": name})
        if exists is None:
            create = f'CREATE ROLE "{name}" LOGIN PASSWORD :password'
            self.execute(create, password=PASSWORD)
