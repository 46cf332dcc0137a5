"""MariaDB in a temporary folder."""

import subprocess
from contextlib import suppress
from functools import cached_property
from signal import SIGTERM
from typing import ClassVar

import sqlalchemy as sa

from cellmap_migrations.testing.servers.base import HOST, PASSWORD, build
from cellmap_migrations.testing.servers.daemon import find, run
from cellmap_migrations.testing.servers.network import NetworkServer

SBIN = ("/usr/sbin", "/usr/local/sbin")
# Names are not resolved, so 127.0.0.1 is the host of accounts.
ACCOUNTS = f"""FLUSH PRIVILEGES;
CREATE OR REPLACE USER admin@'{HOST}' IDENTIFIED BY '{PASSWORD}';
GRANT ALL PRIVILEGES ON *.* TO admin@'{HOST}' WITH GRANT OPTION;
"""


def program(name: str) -> str:
    """Return the path of a program of the server."""
    return find(name, *SBIN, package="mariadb-server")


class MariaDB(NetworkServer):
    """MariaDB with Debian's defaults, but for what only a machine's crash can show.

    Whatever is committed outlives the server's process, and is not on the disk yet.
    """

    driver: ClassVar = "mysql+pymysql"
    account: ClassVar = "mysql"
    admin_database: ClassVar = "mysql"
    stop_signal: ClassVar = SIGTERM

    @cached_property
    def definitions(self) -> dict[sa.MetaData | None, list[str]]:
        """How tables that were created once are created again."""
        return {}

    @classmethod
    def version(cls) -> str:
        """Say which server would run, without starting it; raise if none can."""
        line = subprocess.check_output([program("mariadbd"), "--version"])
        return f"MariaDB {line.decode().split('Ver ')[1].split('-')[0]}"

    def install(self) -> None:
        """Create the system tables and the administrator's account."""
        (self.folder / "accounts.sql").write_text(ACCOUNTS)
        install = [
            program("mariadb-install-db"),
            "--no-defaults",
            f"--datadir={self.folder}/data",
            # As in command(): this runs a server for a moment.
            f"--tmpdir={self.folder}",
            "--auth-root-authentication-method=socket",
            "--skip-test-db",
            f"--extra-file={self.folder}/accounts.sql",
            "--skip-name-resolve",
        ]
        run(install, self.folder, account=self.account)

    def command(self) -> list[str]:
        """Return the command that serves the folder in the foreground."""
        return [
            program("mariadbd"),
            "--no-defaults",
            f"--datadir={self.folder}/data",
            # A server that starts deletes the temporary tables of all others there.
            f"--tmpdir={self.folder}",
            f"--bind-address={HOST}",
            f"--port={self.port}",
            f"--socket={self.folder}/socket",
            f"--pid-file={self.folder}/pid",
            "--skip-name-resolve",
            "--skip-log-bin",
            "--performance-schema=OFF",
            "--innodb-buffer-pool-size=512M",
            "--innodb-flush-log-at-trx-commit=2",
            "--innodb-flush-method=nosync",
            "--sync-frm=OFF",
            "--max-connections=200",
            # Debian's, which --no-defaults leaves out.
            "--character-set-server=utf8mb4",
            "--collation-server=utf8mb4_general_ci",
        ]

    def create_database(
        self, name: str, tables: sa.MetaData | None = None, *, owner: str = "nova"
    ) -> sa.URL:
        """Create a database with *tables*; *owner* may do everything in it."""
        self.execute(f"CREATE DATABASE `{name}`")
        self.grant("ALL PRIVILEGES", name, owner)
        url = self.url(name, owner)
        if tables in self.definitions:
            # One statement a table instead of one for each index: a fifth of the time.
            with self.engine.connect() as connection:
                for statement in [
                    f"USE `{name}`",
                    *self.definitions[tables],
                    "USE mysql",
                ]:
                    connection.exec_driver_sql(statement)
        elif tables is not None:
            build(url, tables)
            self.definitions[tables] = self.definitions_in(name, tables)
        return url

    def definitions_in(self, database: str, tables: sa.MetaData) -> list[str]:
        """Return the statements that create *tables* as they are in a database."""
        with self.engine.connect() as connection:
            return [
                connection.exec_driver_sql(
                    f"SHOW CREATE TABLE `{database}`.`{table}`"
                ).one()[1]
                for table in tables.sorted_tables
            ]

    def drop_database(self, url: sa.URL) -> None:
        """Drop a database, whoever is connected to it."""
        # DROP waits for open transactions, for a day if need be.
        connected = "SELECT id FROM information_schema.processlist WHERE db = :name"
        with self.engine.connect() as connection:
            rows = connection.execute(sa.text(connected), {"name": url.database})
            for number in rows.scalars().all():
                # It may have left by itself: unknown thread.
                with suppress(sa.exc.OperationalError):
                    connection.exec_driver_sql(f"KILL {number}")
        self.execute(f"DROP DATABASE IF EXISTS `{url.database}`")

    def readonly(self, url: sa.URL) -> sa.URL:
        """Return a URL of a new user that may only SELECT from the tables there are."""
        name = str(url.database)
        reader = f"reader_{name}"
        self.grant("SELECT", name, reader)
        return url.set(username=reader)

    def grant(self, privileges: str, database: str, user: str) -> None:
        """Let *user*, who may be new, do something in one database."""
        # An underscore in the name of a GRANT stands for any character.
        pattern = database.replace("_", r"\_")
        account = f"`{user}`@'{HOST}'"
        create = f"CREATE USER IF NOT EXISTS {account} IDENTIFIED BY"
        self.execute(f"{create} :password", password=PASSWORD)
        self.execute(f"GRANT {privileges} ON `{pattern}`.* TO {account}")
