"""Databases as nova 34 makes them, cut down to the tables and columns needed here."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

API = """
CREATE TABLE cell_mappings (
    created_at DATETIME, updated_at DATETIME,
    id INTEGER NOT NULL PRIMARY KEY,
    uuid VARCHAR(36) NOT NULL UNIQUE,
    name VARCHAR(255), transport_url TEXT, database_connection TEXT, disabled BOOLEAN);
CREATE TABLE instance_mappings (
    created_at DATETIME, updated_at DATETIME,
    id INTEGER NOT NULL PRIMARY KEY,
    instance_uuid VARCHAR(36) NOT NULL UNIQUE,
    cell_id INTEGER REFERENCES cell_mappings (id),
    project_id VARCHAR(255) NOT NULL, queued_for_delete BOOLEAN, user_id VARCHAR(255));
CREATE TABLE build_requests (
    created_at DATETIME, updated_at DATETIME,
    id INTEGER NOT NULL PRIMARY KEY,
    project_id VARCHAR(255) NOT NULL, instance_uuid VARCHAR(36) UNIQUE);
"""
CELL = """
CREATE TABLE instances (
    created_at DATETIME, updated_at DATETIME, deleted_at DATETIME,
    id INTEGER NOT NULL PRIMARY KEY,
    uuid VARCHAR(36) NOT NULL UNIQUE,
    user_id VARCHAR(255), project_id VARCHAR(255),
    vm_state VARCHAR(255), task_state VARCHAR(255),
    deleted INTEGER, hidden BOOLEAN);
"""
CONF = """\
# The only configuration there is: nova's own.
[api_database]
connection = sqlite:///{folder}/api.db

[database]
connection = sqlite:///{folder}/cell1.db
"""
CELLS = {
    "cell0": "00000000-0000-0000-0000-000000000000",
    "cell1": "1111a1a5-2f0c-4f55-8d1c-8b5b0c1f0e01",
    "cell2": "2222b2b6-3a1d-4e66-9e2d-9c6c1d2a1f02",
    "cell3": "3333c3c7-4b2e-4d77-8f3e-ad7d2e3b2a03",
}
IDS = {name: number for number, name in enumerate(CELLS, start=1)}


class Nova:
    """The databases and the nova.conf of a demo cloud in *folder*."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.conf = folder / "nova.conf"
        # The folder may be moved or copied, but not while a demo runs.
        self.conf.write_text(CONF.format(folder=folder.resolve()))
        self.run("api", API)
        for name, uuid in CELLS.items():
            self.run(name, CELL)
            row = {"id": IDS[name], "uuid": uuid, "name": name, "disabled": False}
            row["transport_url"] = "none:///"
            row["database_connection"] = f"sqlite:///{self.path(name).resolve()}"
            self.insert("api", "cell_mappings", [row])

    def path(self, database: str) -> Path:
        """Return the file of a database."""
        return self.folder / f"{database}.db"

    def run(self, database: str, script: str) -> None:
        """Run SQL statements."""
        with closing(sqlite3.connect(self.path(database))) as connection:
            connection.executescript(script)

    def insert(self, database: str, table: str, rows: list[dict[str, Any]]) -> None:
        """Insert rows that all have the same columns."""
        if not rows:
            return
        columns = ", ".join(rows[0])
        values = ", ".join(f":{name}" for name in rows[0])
        with closing(sqlite3.connect(self.path(database))) as connection, connection:
            statement = f"INSERT INTO {table} ({columns}) VALUES ({values})"
            connection.executemany(statement, rows)

    def down(self, database: str) -> bool:
        """Say whether a database is out of reach."""
        return not self.path(database).exists()

    def unplug(self, database: str) -> None:
        """Put a database out of reach."""
        self.path(database).rename(self.path(f"{database}-unplugged"))

    def plug(self, database: str) -> None:
        """Bring a database back."""
        self.path(f"{database}-unplugged").rename(self.path(database))

    def query(self, database: str, statement: str) -> list[Any]:
        """Return the rows of a SELECT."""
        with closing(sqlite3.connect(self.path(database))) as connection:
            return connection.execute(statement).fetchall()
