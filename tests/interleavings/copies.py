"""Copy the databases of a world, and put the copies back within milliseconds."""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path

import sqlalchemy as sa

from cellmap_migrations.testing.servers import Server
from cellmap_migrations.testing.servers.postgresql import PostgreSQL

# Databases of MariaDB and MySQL with their tables.
Tables = Mapping[str, Collection[str]]


def save(server: Server, names: Collection[str], backend: str) -> Callable[[], None]:
    """Copy the databases or files *names*; return a function that puts them back."""
    if backend == "sqlite":
        return partial(
            put_back, {Path(name): Path(name).read_bytes() for name in names}
        )
    if isinstance(server, PostgreSQL):
        for name in names:
            server.copy_database(name, saved(name))
        return partial(copy_back, server, names)
    return partial(fill_again, server.admin(), copy_tables(server, names))


def forget(server: Server, name: str, url: sa.URL) -> None:
    """Drop the copy of the database *name*; *url* leads to its server."""
    server.drop_database(url.set(database=saved(name)))


def saved(name: str) -> str:
    """Return the name of the copy of a database."""
    return f"{name}_saved"


def put_back(files: Mapping[Path, bytes]) -> None:
    """Write the files of SQLite again, and remove their journals."""
    for path, content in files.items():
        path.with_name(f"{path.name}-journal").unlink(missing_ok=True)
        path.write_bytes(content)


def copy_back(server: PostgreSQL, names: Collection[str]) -> None:
    """Replace each database by its copy."""
    for name in names:
        server.drop_database(server.url(name, "nova"))
        server.copy_database(saved(name), name)


def copy_tables(server: Server, names: Collection[str]) -> Tables:
    """Copy each table of the databases *names* into the copy of its database."""
    tables: dict[str, Collection[str]] = {}
    with server.admin().connect() as connection:
        for name in names:
            server.create_database(saved(name))
            listed = connection.exec_driver_sql(f"SHOW TABLES FROM {name}")
            tables[name] = listed.scalars().all()
            for table in tables[name]:
                for statement in (
                    f"CREATE TABLE {saved(name)}.{table} LIKE {name}.{table}",
                    f"INSERT INTO {saved(name)}.{table} SELECT * FROM {name}.{table}",
                ):
                    connection.exec_driver_sql(statement)
    return tables


def fill_again(admin: sa.Engine, tables: Tables) -> None:
    """Fill each table that differs from its copy, and drop tables without a copy.

    The next id is the one after the highest id, as at the beginning. TRUNCATE takes
    twenty times as long as DELETE.
    """
    with admin.connect() as connection:
        for name, copied in tables.items():
            found = connection.exec_driver_sql(f"SHOW TABLES FROM {name}").scalars()
            for new in {*found} - {*copied}:
                connection.exec_driver_sql(f"DROP TABLE {name}.{new}")
            for table in differing(connection, name, copied):
                for statement in (
                    f"DELETE FROM {name}.{table}",
                    f"INSERT INTO {name}.{table} SELECT * FROM {saved(name)}.{table}",
                    f"ALTER TABLE {name}.{table} AUTO_INCREMENT = 1",
                ):
                    connection.exec_driver_sql(statement)


def differing(
    connection: sa.Connection, name: str, tables: Collection[str]
) -> list[str]:
    """Return the tables of a database whose rows differ from those of the copy."""
    both = [f"{place}.{table}" for table in tables for place in (name, saved(name))]
    listed = connection.exec_driver_sql(f"CHECKSUM TABLE {', '.join(both)}").all()
    sums = {row[0]: row[1] for row in listed}
    return [
        table
        for table in tables
        if sums[f"{name}.{table}"] != sums[f"{saved(name)}.{table}"]
    ]
