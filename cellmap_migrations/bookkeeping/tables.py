"""Define and create the three tables of this package, all in the API database.

No table is created in a cell's database: nova's ``db archive_deleted_rows`` reflects
all tables there, and ends with a KeyError on a table that it does not know (nova
34.0.0).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations.nova.rules import Outcome
from cellmap_migrations.nova.tables import utcnow

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from cellmap_migrations.databases.database import Database


CELL_OPTION, NUMBER_OPTION = "cellmap_cell_uuid", "cellmap_cell_id"

# True on the connection of an upgrade, which records what it has proved.
PROVED_OPTION = "cellmap_proved"


def cell_of(context: Any) -> str:
    """Return the uuid of the cell that the connection is for."""
    return str(context.execution_options[CELL_OPTION])


def number_of(context: Any) -> int:
    """Return the ``cell_mappings.id`` of the cell that the connection is for."""
    return int(context.execution_options[NUMBER_OPTION])


def proof_time(context: Any) -> datetime | None:
    """Return the time now if an upgrade records a revision, else None."""
    return utcnow() if context.execution_options[PROVED_OPTION] else None


# Counts of existing mappings that a batch corrected or deleted.
MENDED, REMOVED = "mended", "removed"

COUNTS = (*(outcome.value for outcome in Outcome), MENDED, REMOVED)

METADATA = sa.MetaData()

journal = sa.Table(
    "cellmap_journal",
    METADATA,
    sa.Column("cell_uuid", sa.String(36), primary_key=True),
    sa.Column("revision", sa.String(64), primary_key=True),
    sa.Column("batch", sa.Integer, primary_key=True, autoincrement=False),
    # The batch read the instances with after_id < id <= upto_id.
    sa.Column("after_id", sa.BigInteger, nullable=False),
    sa.Column("upto_id", sa.BigInteger, nullable=False),
    sa.Column("rows_read", sa.Integer, nullable=False),
    *(sa.Column(name, sa.Integer, nullable=False) for name in COUNTS),
    sa.Column("started_at", sa.DateTime, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    # The updated_at of every mapping that the batch inserted, whole seconds UTC.
    sa.Column("stamp", sa.DateTime, nullable=False),
    # instance_mappings.id: the mappings that the batch inserted have higher ids.
    sa.Column("above_id", sa.BigInteger, nullable=False),
    # The seconds of pause before the batch, the reason for the pause, and the option
    # that caused it (Signal.option).
    sa.Column("paused", sa.Float, nullable=False),
    sa.Column("pause_reason", sa.String(255), nullable=False),
    sa.Column("pause_option", sa.String(64), nullable=False),
    sa.Column("runner", sa.String(255), nullable=False),
    # The name that the cell's server gives the database; empty if it was not opened.
    sa.Column("cell_database", sa.String(255), nullable=False),
    # JSON with which a batch of a merge is undone; NULL in every other batch.
    sa.Column("undo", sa.Text),
    mysql_engine="InnoDB",
    mysql_charset="utf8",
)

versions = sa.Table(
    "cellmap_version",
    METADATA,
    # Alembic inserts only version_num; the connection's options supply the cell.
    sa.Column("cell_uuid", sa.String(36), primary_key=True, default=cell_of),
    sa.Column("version_num", sa.String(64), primary_key=True),
    # cell_mappings.id when the revision was recorded. If that row was deleted and
    # created again, it has another id, and no mapping names this id.
    sa.Column("cell_id", sa.BigInteger, default=number_of, onupdate=number_of),
    # When a comparison of the whole cell had proved the revision. NULL if a downgrade
    # or ``alembic stamp`` recorded it, or an older version of this package.
    sa.Column("proved_at", sa.DateTime, default=proof_time, onupdate=proof_time),
    # A run that was frozen before its first stamp must not add a second stamp:
    # another run may have recorded a later revision meanwhile.
    sa.UniqueConstraint("cell_uuid", name="uniq_cellmap_version0cell_uuid"),
    mysql_engine="InnoDB",
    mysql_charset="utf8",
)


# What operators request of the runs of a cell: see ``requests``.
control = sa.Table(
    "cellmap_control",
    METADATA,
    sa.Column("cell_uuid", sa.String(36), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("action", sa.String(16), nullable=False),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("value", sa.String(255), nullable=False),
    sa.Column("requested_at", sa.DateTime, nullable=False),
    sa.Column("requested_by", sa.String(255), nullable=False),
    sa.Column("why", sa.String(255), nullable=False),
    mysql_engine="InnoDB",
    mysql_charset="utf8",
)


def create_tables(api: Database) -> None:
    """Create this package's tables, and add columns that older versions lack.

    Two first runs may do so at the same moment.
    """
    for table in METADATA.sorted_tables:
        provide_table(api, table)


def provide_table(api: Database, table: sa.Table) -> None:
    """Create *table*, or add the columns that it lacks."""
    existing = api.columns(table)
    if not existing:
        api.retry(partial(create_table, api, table))
    elif lacking := lacking_columns(table, existing):
        for column in lacking:
            api.retry(partial(add_column, api, column))
        api.columns_now(table)


def lacking_columns(table: sa.Table, existing: Collection[str]) -> list[sa.Column[Any]]:
    """Return the columns of *table* whose names are not in *existing*."""
    return [column for column in table.c if column.name not in existing]


def create_table(api: Database, table: sa.Table) -> None:
    """Create *table*, unless another run does so at the same moment."""
    try:
        with api.engine.begin() as connection:
            connection.execute(sa.schema.CreateTable(table, if_not_exists=True))
    # PostgreSQL's IF NOT EXISTS loses this race with a duplicate key in its catalog.
    except Exception:
        if not api.has_table(table.name):
            raise


def add_column(api: Database, column: sa.Column[Any]) -> None:
    """Add *column* to its table, unless another run does so at the same moment.

    Existing rows get 0 or an empty text, or NULL in a nullable column.
    """
    empty = "''" if isinstance(column.type, sa.String) else "0"
    new = sa.Column(
        column.name,
        column.type,
        nullable=column.nullable,
        server_default=None if column.nullable else sa.text(empty),
    )
    name = sa.Table(column.table.name, sa.MetaData(), new).name
    definition = sa.schema.CreateColumn(new).compile(dialect=api.engine.dialect)
    try:
        with api.engine.begin() as connection:
            connection.exec_driver_sql(f"ALTER TABLE {name} ADD COLUMN {definition}")
    # Each database has its own error for a column that exists already.
    except Exception:
        if column.name not in api.columns_now(column.table):
            raise
