"""Convert a PostgreSQL database to the types that pgloader gives MariaDB's."""

import importlib
from datetime import datetime
from typing import Any

import sqlalchemy as sa

# pgloader's own rules: datetime, int, and varchar. tinyint(1) is boolean, as nova's is.
TYPES = {
    "timestamp without time zone": "TIMESTAMPTZ USING {} AT TIME ZONE 'UTC'",
    "integer": "BIGINT",
    "character varying": "TEXT",
}

ZONE = "Europe/Berlin"


def convert(engine: sa.Engine) -> None:
    """Give every column of *engine*'s database the type that pgloader gives it.

    The time zone of new sessions is not UTC any more. Those of *engine* still have UTC,
    and read times without a time zone.
    """
    columns = sa.text(
        "SELECT table_name, column_name, data_type FROM information_schema.columns"
        " WHERE table_schema = 'public'"
    )
    with engine.begin() as connection:
        for table, column, kind in connection.execute(columns).all():
            if kind in TYPES:
                alter = f"ALTER TABLE {table} ALTER {column} TYPE {TYPES[kind]}"
                connection.exec_driver_sql(alter.format(column))
        name = engine.url.database
        connection.exec_driver_sql(
            f"ALTER DATABASE \"{name}\" SET timezone TO '{ZONE}'"
        )
    sa.event.listen(engine, "connect", read_as_utc)


def read_as_utc(connection: Any, _: Any) -> None:
    """Let a session of the tests write and read times in UTC."""
    usual: Any = importlib.import_module("psycopg.types.datetime").TimestamptzLoader

    def load(self: Any, data: Any) -> datetime:
        found: datetime = usual.load(self, data)
        return found.replace(tzinfo=None)

    loader = type("Loader", (usual,), {"load": load})
    connection.adapters.register_loader("timestamptz", loader)
    connection.autocommit = True
    connection.execute("SET timezone = 'UTC'")
    connection.autocommit = False
