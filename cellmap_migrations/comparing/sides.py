"""The two sides of a comparison, and the texts that stand for their rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations.comparing.created import CREATED_AT, seconds
from cellmap_migrations.schema import PLACEHOLDER, instance_mappings, instances

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellmap_migrations.cell import Cell
    from cellmap_migrations.copying.plans import Plan
    from cellmap_migrations.databases import Database

Checksum = Callable[[sa.ColumnElement[str]], sa.ColumnElement[Any]]

# A chunk is all rows whose uuid begins with the same characters. They are told apart
# in lower case and by equality only, because databases disagree about everything
# else: MySQL ignores case, and PostgreSQL's locales sort hyphens in their own way.
CHUNK_CHARACTERS = 3


@dataclass(frozen=True, kw_only=True)
class Side:
    """The rows of one database that belong to the cell."""

    database: Database
    id: sa.ColumnElement[int]
    uuid: sa.ColumnElement[str]
    texts: Sequence[sa.ColumnElement[str]]
    # The seconds since 1970 of created_at, or 0 where that is not compared.
    seconds: sa.ColumnElement[int]
    belongs: sa.ColumnElement[bool]
    checksum: Checksum
    # The same, where every row of a range of ids is read.
    scanned: sa.ColumnElement[bool]
    # Rows that make up a range: those an index leads to, whether they belong or not.
    counted: sa.ColumnElement[bool]

    @property
    def chunk(self) -> sa.ColumnElement[str]:
        """The SQL for a row's chunk."""
        # Literals, or PostgreSQL does not see that this is what GROUP BY names.
        first = sa.literal_column("1", sa.Integer)
        length = sa.literal_column(str(CHUNK_CHARACTERS), sa.Integer)
        return sa.func.lower(sa.func.substr(self.uuid, first, length))


def sides(cell: Cell, plan: Plan, compared: Sequence[str]) -> tuple[Side, Side]:
    """Return the cell's side and the mappings' side, with the *compared* columns."""
    return (
        instances_side(cell, plan, compared),
        mappings_side(cell, cell.mapping.id, compared),
    )


def instances_side(cell: Cell, plan: Plan, compared: Sequence[str] = ()) -> Side:
    """Return the instances of *cell* that must have a mapping."""
    belongs = sa.and_(
        sa.not_(sa.func.coalesce(plan.hidden, sa.false())),
        instances.c.uuid != PLACEHOLDER,
    )
    return Side(
        database=cell.source,
        checksum=checksum(cell, cell.source),
        id=instances.c.id,
        uuid=instances.c.uuid,
        texts=[text(plan.columns[name]) for name in compared if name != CREATED_AT],
        seconds=seconds(instances.c.created_at, compared=CREATED_AT in compared),
        belongs=belongs,
        scanned=belongs,
        counted=sa.true(),
    )


def mappings_side(
    cell: Cell, cell_id: int | None, compared: Sequence[str] = ()
) -> Side:
    """Return the mappings that name the cell with ``cell_mappings.id`` *cell_id*.

    None stands for the mappings without a cell.
    """
    table, theirs = instance_mappings.c, instance_mappings.c.cell_id
    return Side(
        database=cell.api,
        checksum=checksum(cell, cell.api),
        id=table.id,
        uuid=table.instance_uuid,
        texts=[text(table[name]) for name in compared if name != CREATED_AT],
        seconds=seconds(table.created_at, compared=CREATED_AT in compared),
        belongs=theirs == cell_id,
        # A sum, so that no index is used: MariaDB would fetch each row by itself.
        scanned=theirs + 0 == cell_id,
        counted=theirs == cell_id,
    )


def checksum(cell: Cell, database: Database) -> Checksum:
    """Return the aggregate for chunks; the cheap one where both sides are alike."""
    alike = type(cell.source.backend) is type(cell.api.backend)
    return database.backend.own_checksum if alike else database.backend.checksum


def text(column: sa.ColumnElement[Any]) -> sa.ColumnElement[str]:
    """Return SQL for a text that differs whenever the column does, NULL included."""
    if isinstance(column.type, sa.Boolean):
        return sa.case(
            (column.is_(None), sa.literal_column("'-'")),
            (column, sa.literal_column("'=1'")),
            else_=sa.literal_column("'=0'"),
        )
    mark = sa.literal_column("'='", sa.String)
    return sa.func.coalesce(mark + column, sa.literal_column("'-'"))
