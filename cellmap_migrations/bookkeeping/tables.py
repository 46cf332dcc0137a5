"""The two tables of this package, both in the API database.

Never in a cell's: nova's ``db archive_deleted_rows`` reflects every table of a cell
and dies with a KeyError on one that it does not know (nova 34.0.0).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations.nova.rules import Outcome

if TYPE_CHECKING:
    from collections.abc import Collection

    from cellmap_migrations.databases.database import Database


CELL_OPTION, NUMBER_OPTION = "cellmap_cell_uuid", "cellmap_cell_id"


def cell_of(context: Any) -> str:
    """Return the uuid of the cell that a connection is for."""
    return str(context.execution_options[CELL_OPTION])


def number_of(context: Any) -> int:
    """Return the ``cell_mappings.id`` of the cell that a connection is for."""
    return int(context.execution_options[NUMBER_OPTION])


# Each outcome, and what is done to mappings that were there before.
MENDED, REMOVED = "mended", "removed"

COUNTS = (*(outcome.value for outcome in Outcome), MENDED, REMOVED)

METADATA = sa.MetaData()

journal = sa.Table(
    "cellmap_journal",
    METADATA,
    sa.Column("cell_uuid", sa.String(36), primary_key=True),
    sa.Column("revision", sa.String(64), primary_key=True),
    sa.Column("batch", sa.Integer, primary_key=True, autoincrement=False),
    # instances.id: the batch read the rows after the one, up to and with the other.
    sa.Column("after_id", sa.BigInteger, nullable=False),
    sa.Column("upto_id", sa.BigInteger, nullable=False),
    sa.Column("rows_read", sa.Integer, nullable=False),
    *(sa.Column(name, sa.Integer, nullable=False) for name in COUNTS),
    sa.Column("started_at", sa.DateTime, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    # The updated_at of every mapping that the batch inserted, whole seconds UTC.
    sa.Column("stamp", sa.DateTime, nullable=False),
    # instance_mappings.id: what the batch inserted has higher ids than this.
    sa.Column("above_id", sa.BigInteger, nullable=False),
    # The pause before the batch, in seconds, and what it waited for.
    sa.Column("paused", sa.Float, nullable=False),
    sa.Column("pause_reason", sa.String(255), nullable=False),
    sa.Column("runner", sa.String(255), nullable=False),
    # The cell's database in its server's words; empty where the batch did not open it.
    sa.Column("cell_database", sa.String(255), nullable=False),
    # How a merge of two cells can be undone; NULL for every other batch.
    sa.Column("undo", sa.Text),
    mysql_engine="InnoDB",
    mysql_charset="utf8",
)

versions = sa.Table(
    "cellmap_version",
    METADATA,
    # Alembic inserts only the version_num; the connection says which cell it is for.
    sa.Column("cell_uuid", sa.String(36), primary_key=True, default=cell_of),
    sa.Column("version_num", sa.String(64), primary_key=True),
    # cell_mappings.id when the revision was recorded: a row of that table that was
    # deleted and created again has another one, and no mapping.
    sa.Column("cell_id", sa.BigInteger, default=number_of, onupdate=number_of),
    # A run that was frozen before its first stamp must not add a second one to that
    # of another run, which may be at a later revision by now.
    sa.UniqueConstraint("cell_uuid", name="uniq_cellmap_version0cell_uuid"),
    mysql_engine="InnoDB",
    mysql_charset="utf8",
)


def create_tables(api: Database) -> None:
    """Create this package's two tables, and columns that older versions did not have.

    Two first runs may do so at the same moment.
    """
    for table in METADATA.sorted_tables:
        have = api.columns(table)
        if not have:
            api.again(partial(create, api, table))
            continue
        for column in lacking(table, have):
            api.again(partial(add, api, column))


def lacking(table: sa.Table, have: Collection[str]) -> list[sa.Column[Any]]:
    """Return the columns of *table* of which the names are not among *have*."""
    return [column for column in table.c if column.name not in have]


def create(api: Database, table: sa.Table) -> None:
    """Create *table*, or find that somebody else just did."""
    try:
        with api.engine.begin() as connection:
            connection.execute(sa.schema.CreateTable(table, if_not_exists=True))
    # PostgreSQL's IF NOT EXISTS loses this race with a duplicate key in its catalog.
    except Exception:
        if not api.has_table(table.name):
            raise


def add(api: Database, column: sa.Column[Any]) -> None:
    """Add *column* to its table, or find that somebody else just did.

    Rows that are there get a value as if nothing had been counted.
    """
    empty = "''" if isinstance(column.type, sa.String) else "0"
    new = sa.Column(
        column.name,
        column.type,
        nullable=column.nullable,
        server_default=None if column.nullable else sa.text(empty),
    )
    name = sa.Table(column.table.name, sa.MetaData(), new).name
    what = sa.schema.CreateColumn(new).compile(dialect=api.engine.dialect)
    try:
        with api.engine.begin() as connection:
            connection.exec_driver_sql(f"ALTER TABLE {name} ADD COLUMN {what}")
    # Each database has its own error for a column that is there already.
    except Exception:
        if column.name not in api.columns(column.table):
            raise
