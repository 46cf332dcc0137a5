"""Add up checksums of a cell's instances and mappings inside both servers.

Statements are short and read ranges of ids. Only sums travel to the client.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations.common.background import at_once
from cellmap_migrations.copying import read
from cellmap_migrations.databases.times import Seconds
from cellmap_migrations.nova.tables import PLACEHOLDER, instance_mappings, instances

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from cellmap_migrations.cell.cell import Cell
    from cellmap_migrations.common.stopping import Stopping
    from cellmap_migrations.copying.plan import Plan
    from cellmap_migrations.databases.database import Database
    from cellmap_migrations.output.progress import Reached


CREATED_AT = "created_at"

# How many seconds the two may be apart.
APART = 60


def seconds_of(
    column: sa.ColumnElement[Any], *, compared: bool
) -> sa.ColumnElement[int]:
    """Return SQL for the seconds since 1970 of *column*, or for 0."""
    return Seconds(column) if compared else sa.literal_column("0", sa.BigInteger)


def near(one: int | None, other: int | None) -> bool:
    """Return True if two times, in seconds, are at most APART seconds apart."""
    return one is None or other is None or abs(one - other) <= APART


def apart(found: datetime | None, expected: datetime | None) -> str:
    """Return how a mapping's time differs from the cell's, or nothing if it is near."""
    if found is None or expected is None:
        return ""
    if abs(expected - found) <= timedelta(seconds=APART):
        return ""
    one, other = (f"{time:%Y-%m-%d %H:%M:%S}" for time in (found, expected))
    return (
        f"{one} in its mapping, {other} in the cell; nova shows the first while the "
        "cell is down"
    )


# How long one statement should take, and how many rows or ids that may be.
STATEMENT_SECONDS = 0.3

FIRST_RANGE = 20_000

FEWEST = 1_000

WIDEST = 2_000_000


def extreme_id(side: Side, function: Callable[[Any], Any]) -> int:
    """Return the lowest or the highest id of the side's table, or 0."""
    select = sa.select(sa.func.coalesce(function(side.id), 0))
    return int(side.database.read(select)[0][0])


def next_id(side: Side, after_id: int) -> int:
    """Return the first id of the side's table behind *after_id*, or 0."""
    first = sa.select(sa.func.coalesce(sa.func.min(side.id), 0))
    return int(side.database.read(first.where(side.id > after_id))[0][0])


def ranges(
    side: Side, stopping: Stopping, clock: Callable[[], float] = time.monotonic
) -> Iterator[tuple[int, int]]:
    """Yield ranges of ids, each with as many rows as the time for the last allows."""
    bound = extreme_id(side, sa.func.max)
    # nova's ids begin at 1; rows that were inserted by hand may come before.
    after_id, rows = min(0, extreme_id(side, sa.func.min) - 1), FIRST_RANGE
    while after_id < bound:
        stopping.check()
        started = clock()
        # Not beyond the last row: PostgreSQL takes no number that no id can have.
        farthest = min(after_id + WIDEST, bound)
        nth = nth_id(side, after_id, farthest, rows)
        upto_id = farthest if nth is None else nth
        yield after_id, upto_id
        spent = max(clock() - started, 1e-3)
        # A range with fewer rows than asked for says nothing about more of them.
        if nth is not None or spent > STATEMENT_SECONDS:
            rows = max(FEWEST, int(rows * min(4.0, STATEMENT_SECONDS / spent)))
        # Behind a hole there may be another one, of up to four milliards of ids.
        after_id = upto_id if nth else max(upto_id, next_id(side, upto_id) - 1)


def nth_id(side: Side, after_id: int, upto_id: int, rows: int) -> int | None:
    """Return the id of the last of *rows* rows of the side, or None for fewer rows.

    Ids have holes, of other cells' mappings and of archived instances: a range that
    grew while it crossed a hole would hold too many rows behind it. Where no index
    leads to the side's rows, all ids up to *upto_id* may be searched.
    """
    return read.nth_id(
        side.database,
        after_id,
        bound=upto_id,
        rows=rows,
        ids=side.id,
        counted=side.counted,
    )


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
        database=cell.database,
        checksum=checksum(cell, cell.database),
        id=instances.c.id,
        uuid=instances.c.uuid,
        texts=[text(plan.columns[name]) for name in compared if name != CREATED_AT],
        seconds=seconds_of(instances.c.created_at, compared=CREATED_AT in compared),
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
        seconds=seconds_of(table.created_at, compared=CREATED_AT in compared),
        belongs=theirs == cell_id,
        # A sum, so that no index is used: MariaDB would fetch each row by itself.
        scanned=theirs + 0 == cell_id,
        counted=theirs == cell_id,
    )


def checksum(cell: Cell, database: Database) -> Checksum:
    """Return the aggregate for chunks; the cheap one where both sides are alike."""
    alike = type(cell.database.backend) is type(cell.api.backend)
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


# All checksums are sums of numbers of up to 64 bits, compared modulo this.
MODULUS = 1 << 64

# The number of rows, the checksum, and the sum of the seconds of created_at, by chunk.
Totals = dict[str, tuple[int, int, int]]


def totals(cell: Cell, ours: Side, theirs: Side, *, chunked: bool) -> list[Totals]:
    """Return what both sides' servers add up, at the same time."""
    bound = extreme_id(ours, sa.func.max)
    with cell.progress.walking(0, bound, "comparing") as reached:
        works = (
            partial(added_up, ours, cell.stopping, chunked=chunked, reached=reached),
            partial(added_up, theirs, cell.stopping, chunked=chunked),
        )
        if cell.api.backend.works_by_itself:
            return at_once(*works, meanwhile=cell.keep_alive)
        return [work() for work in works]


def added_up(
    side: Side, stopping: Stopping, *, chunked: bool, reached: Reached | None = None
) -> Totals:
    """Return the Totals of each chunk, or of all rows together."""
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    line = sa.literal_column("'\n'", sa.String)
    whole = side.uuid
    for text in side.texts:
        whole = whole + line + text
    select = sa.select(
        side.chunk if chunked else sa.literal_column("''"),
        sa.func.count(),
        sa.func.coalesce(side.checksum(whole), 0),
        sa.func.coalesce(sa.func.sum(side.seconds), 0),
    )
    if chunked:
        select = select.group_by(side.chunk)
    for after_id, upto_id in ranges(side, stopping):
        some = side.database.read(
            select.where(side.scanned, side.id > after_id, side.id <= upto_id)
        )
        for chunk, rows, total, seconds in some:
            found[chunk][0] += rows
            found[chunk][1] = (found[chunk][1] + int(total)) % MODULUS
            found[chunk][2] += int(seconds)
        if reached:
            reached(sum(row[1] for row in some), upto_id)
    return {
        chunk: (rows, total, seconds)
        for chunk, (rows, total, seconds) in found.items()
        if rows
    }
