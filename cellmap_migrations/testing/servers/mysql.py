"""Create databases and accounts on MariaDB and MySQL."""

from contextlib import suppress
from functools import cached_property
from signal import SIGTERM
from typing import ClassVar

import sqlalchemy as sa

from cellmap_migrations.testing.servers.base import HOST, PASSWORD, build
from cellmap_migrations.testing.servers.network import NetworkServer


class MySQLServer(NetworkServer):
    """Run a server that understands the SQL of MySQL."""

    driver: ClassVar = "mysql+pymysql"
    account: ClassVar = "mysql"
    admin_database: ClassVar = "mysql"
    stop_signal: ClassVar = SIGTERM

    @cached_property
    def definitions(self) -> dict[sa.MetaData | None, list[str]]:
        """Return the statements that create known tables, by their metadata."""
        return {}

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
        """Drop a database, even if clients are connected to it."""
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
        """Grant *privileges* in one database to *user*; create the user if needed."""
        # An underscore in the name of a GRANT stands for any character.
        pattern = database.replace("_", r"\_")
        account = f"`{user}`@'{HOST}'"
        create = f"CREATE USER IF NOT EXISTS {account} IDENTIFIED BY"
        self.execute(f"{create} :password", password=PASSWORD)
        self.execute(f"GRANT {privileges} ON `{pattern}`.* TO {account}")
