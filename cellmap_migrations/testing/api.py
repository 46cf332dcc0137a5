"""Build the API database of a test cloud, and change its rows as nova does."""

from typing import Any, Protocol
from uuid import uuid4

import sqlalchemy as sa

from cellmap_migrations.bookkeeping.tables import METADATA
from cellmap_migrations.testing.rows import LONG_AGO, PROJECT, USER, Mapped, known
from cellmap_migrations.testing.schema import API_HEAD, api_tables
from cellmap_migrations.testing.servers import plain_engine


class HasId(Protocol):
    """Describe a cell to which an instance can be mapped."""

    @property
    def id(self) -> int:
        """Return the ``cell_mappings.id`` of the cell."""


class Api:
    """Hold the API database at *url*, with the tables of nova *release*."""

    def __init__(self, url: sa.URL, release: str) -> None:
        self.url = url
        self.release = release
        self.engine = plain_engine(url)
        self.tables = api_tables(release).tables
        self.instance_mappings = self.tables["instance_mappings"]
        if "alembic_version" in self.tables:
            self.insert("alembic_version", version_num=API_HEAD)

    def insert(self, table: str, **columns: object) -> None:
        """Insert one row."""
        self.execute(self.tables[table].insert().values(columns))

    def execute(self, statement: sa.UpdateBase) -> None:
        """Execute *statement* in its own transaction."""
        with self.engine.begin() as connection:
            connection.execute(statement)

    def sql(self, statement: str) -> None:
        """Execute SQL in the dialect of the database."""
        with self.engine.begin() as connection:
            connection.exec_driver_sql(statement)

    def map_to(self, cell_id: int | None, uuids: list[str], **columns: object) -> None:
        """Insert the mappings that nova inserts for booted instances."""
        usual = {
            "created_at": LONG_AGO,
            "project_id": PROJECT,
            "user_id": USER,
            "queued_for_delete": False,
            "cell_id": cell_id,
        }
        row = known(self.instance_mappings, usual) | columns
        with self.engine.begin() as connection:
            rows = [row | {"instance_uuid": uuid} for uuid in uuids]
            connection.execute(self.instance_mappings.insert(), rows)

    def map(self, uuid: str, cell: HasId | None, **columns: object) -> None:
        """Insert the mapping of an instance; *cell* is None during a boot."""
        self.map_to(None if cell is None else cell.id, [uuid], **columns)

    def add_silent_cell(self) -> int:
        """Add a cell with a NULL connection, and return its ``cell_mappings.id``."""
        row = {"created_at": LONG_AGO, "uuid": str(uuid4()), "name": "down"}
        table = self.tables["cell_mappings"]
        self.insert("cell_mappings", transport_url="none:///", **row)
        with self.engine.connect() as connection:
            query = sa.select(table.c.id).filter_by(uuid=row["uuid"])
            return int(connection.execute(query).scalar_one())

    def remap(self, uuid: str, **columns: object) -> None:
        """Update columns of a mapping."""
        update = self.instance_mappings.update().filter_by(instance_uuid=uuid)
        self.execute(update.values(columns))

    def unmap(self, uuid: str) -> None:
        """Delete the mapping of an instance."""
        self.execute(self.instance_mappings.delete().filter_by(instance_uuid=uuid))

    def queue_for_delete(self, uuid: str) -> None:
        """Set ``queued_for_delete`` of a mapping, if the release has that column."""
        if "queued_for_delete" in self.instance_mappings.c:
            self.remap(uuid, queued_for_delete=True)

    def request_build(self, uuid: str) -> None:
        """Insert the build request of an instance."""
        row = {"created_at": LONG_AGO, "project_id": PROJECT}
        self.insert("build_requests", instance_uuid=uuid, **row)

    def mappings(self) -> dict[str, Mapped]:
        """Return all mappings, keyed by the uuid of their instance."""
        rows = self.rows("instance_mappings")
        return {row["instance_uuid"]: Mapped(**row) for row in rows}

    def versions(self) -> dict[str, str]:
        """Return the recorded revision of each cell, keyed by the cell's uuid."""
        rows = self.rows("cellmap_version")
        return {row["cell_uuid"]: row["version_num"] for row in rows}

    def journal_of(self, cell_uuid: str) -> list[dict[str, Any]]:
        """Return the journal entries of a cell in the order of their commits."""
        rows = self.rows("cellmap_journal")
        ours = [row for row in rows if row["cell_uuid"] == cell_uuid]
        return sorted(ours, key=lambda row: (row["revision"], row["batch"]))

    def our_tables(self) -> set[str]:
        """Return the names of the tables that nova does not have."""
        return set(sa.inspect(self.engine).get_table_names()) - set(self.tables)

    def rows(self, name: str) -> list[dict[str, Any]]:
        """Return all rows of a table, or an empty list if it does not exist."""
        with self.engine.connect() as connection:
            if not sa.inspect(connection).has_table(name):
                return []
            table = self.tables.get(name)
            query = ours(name) if table is None else sa.select(table)
            return [dict(row) for row in connection.execute(query).mappings()]


def ours(name: str) -> sa.TextualSelect:
    """Return a query for all rows of one of this package's tables.

    It names no column: a table that an older version created lacks some.
    """
    types = {column.name: column.type for column in METADATA.tables[name].c}
    return sa.text(f"SELECT * FROM {name}").columns(**types)  # noqa: S608 - ours
