"""Compute checksums of a cell's instances and mappings, each side inside its server.

Each statement is short and reads a range of ids. Only sums are sent to the client.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations.common.background import run_in_threads
from cellmap_migrations.comparing.gate import Gate
from cellmap_migrations.copying import read
from cellmap_migrations.databases.texts import as_text
from cellmap_migrations.databases.times import Seconds
from cellmap_migrations.nova.tables import PLACEHOLDER, instance_mappings, instances

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cellmap_migrations.cell.cell import Cell
    from cellmap_migrations.common.stopping import Stopping
    from cellmap_migrations.copying.plan import Plan
    from cellmap_migrations.databases.database import Database
    from cellmap_migrations.output.progress import Reached


@dataclass(frozen=True, kw_only=True, slots=True)
class Total:
    """Hold the number of rows of a chunk, and sums over them.

    *checksum* is that of uuids and compared columns, *uuids* that of uuids alone.
    *seconds* are those of created_at.
    """

    rows: int
    checksum: int
    seconds: int
    uuids: int


NONE = Total(rows=0, checksum=0, seconds=0, uuids=0)

# By chunk.
Totals = dict[str, Total]


def totals(cell: Cell, ours: Side, theirs: Side, *, chunked: bool) -> list[Totals]:
    """Return the totals of both sides, which the two servers compute.

    They do so at the same time, unless others wait for the API database: its server may
    be that of the cell too. If the sides are not *chunked*, all rows are one chunk,
    which takes less time.
    """
    bound = extreme_id(ours, sa.func.max)
    gate = Gate(cell, threads=cell.api.backend.works_by_itself)
    with cell.progress.walking(0, bound, "comparing") as reached:
        works = (
            partial(sum_up, ours, gate, chunked=chunked, reached=reached),
            partial(sum_up, theirs, gate, chunked=chunked),
        )
        if not gate.threads:
            return [work() for work in works]
        gently = cell.throttle.slowdown.limits
        groups = [[work] for work in works] if gently else [works]
        found = [run_in_threads(*group, meanwhile=gate.watch) for group in groups]
        return [total for some in found for total in some]


# Checksums are sums of numbers of up to 64 bits, and are compared modulo this.
MODULUS = 1 << 64


def sum_up(
    side: Side, gate: Gate, *, chunked: bool, reached: Reached | None = None
) -> Totals:
    """Return the totals of *side*: of each chunk, or of all rows as one chunk.

    Only chunks have a checksum of uuids.
    """
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    line = sa.literal_column("'\n'", sa.String)
    whole = side.uuid
    for text in side.texts:
        whole = whole + line + text
    select = sa.select(
        side.chunk if chunked else sa.literal_column("''"),
        sa.func.count(),
        sa.func.coalesce(side.checksum(whole), 0),
        sa.func.coalesce(sa.func.sum(side.seconds), 0),
        sa.func.coalesce(side.checksum(side.uuid), 0) if chunked else sa.literal(0),
    )
    if chunked:
        select = select.group_by(side.chunk)
    for after_id, upto_id in ranges(side, gate):
        some = side.database.read(
            select.where(side.scanned, side.id > after_id, side.id <= upto_id)
        )
        for chunk, rows, total, seconds, uuids in some:
            sums[chunk][0] += rows
            sums[chunk][1] = (sums[chunk][1] + int(total)) % MODULUS
            sums[chunk][2] += int(seconds)
            sums[chunk][3] = (sums[chunk][3] + int(uuids)) % MODULUS
        if reached:
            reached(sum(row[1] for row in some), upto_id)
    return {
        chunk: Total(rows=rows, checksum=total, seconds=seconds, uuids=uuids)
        for chunk, (rows, total, seconds, uuids) in sums.items()
        if rows
    }


# Makes the SQL aggregate of a text.
Checksum = Callable[[sa.ColumnElement[str]], sa.ColumnElement[Any]]

# A chunk is all rows whose uuids begin with the same 3 characters in lower case. They
# are compared for equality only: databases sort uuids in different orders.
CHUNK_CHARACTERS = 3


@dataclass(frozen=True, kw_only=True)
class Side:
    """Hold the SQL to read the rows of one database that belong to the cell.

    *belongs* is true of these rows. *scanned* means the same, in a form for statements
    that read every row of a range of ids. *counted* is true of the rows to which an
    index leads: they are counted to find the end of a range.
    """

    database: Database
    id: sa.ColumnElement[int]
    uuid: sa.ColumnElement[str]
    texts: Sequence[sa.ColumnElement[str]]
    # The seconds of created_at since 1970, or 0 if that is not compared.
    seconds: sa.ColumnElement[int]
    checksum: Checksum
    belongs: sa.ColumnElement[bool]
    scanned: sa.ColumnElement[bool]
    counted: sa.ColumnElement[bool]

    @property
    def chunk(self) -> sa.ColumnElement[str]:
        """Return the SQL for the chunk of a row."""
        # Literals: with parameters PostgreSQL does not recognise the expression of the
        # GROUP BY in the SELECT.
        first = sa.literal_column("1", sa.Integer)
        length = sa.literal_column(str(CHUNK_CHARACTERS), sa.Integer)
        return sa.func.lower(sa.func.substr(self.uuid, first, length))


def sides(cell: Cell, plan: Plan, compared: Sequence[str]) -> tuple[Side, Side]:
    """Return the side of the instances and that of the mappings to *cell*.

    *compared* are the columns that the checksums include.
    """
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
        texts=[as_text(plan.columns[name]) for name in compared if name != CREATED_AT],
        seconds=seconds_of(instances.c.created_at, compared=CREATED_AT in compared),
        belongs=belongs,
        scanned=belongs,
        counted=sa.true(),
    )


def mappings_side(
    cell: Cell, cell_id: int | None, compared: Sequence[str] = ()
) -> Side:
    """Return the mappings to the cell with ``cell_mappings.id`` *cell_id*.

    None stands for the mappings without a cell.
    """
    table, theirs = instance_mappings.c, instance_mappings.c.cell_id
    return Side(
        database=cell.api,
        checksum=checksum(cell, cell.api),
        id=table.id,
        uuid=table.instance_uuid,
        texts=[as_text(table[name]) for name in compared if name != CREATED_AT],
        seconds=seconds_of(table.created_at, compared=CREATED_AT in compared),
        belongs=theirs == cell_id,
        # A sum, so that MariaDB uses no index, with which it would fetch row by row.
        scanned=theirs + 0 == cell_id,
        counted=theirs == cell_id,
    )


def checksum(cell: Cell, database: Database) -> Checksum:
    """Return the aggregate of *database*: a cheap one if both backends are the same."""
    alike = type(cell.database.backend) is type(cell.api.backend)
    return database.backend.own_checksum if alike else database.backend.checksum


CREATED_AT = "created_at"


def seconds_of(
    column: sa.ColumnElement[Any], *, compared: bool
) -> sa.ColumnElement[int]:
    """Return SQL for the seconds of *column* since 1970; 0 if it is not *compared*."""
    return Seconds(column) if compared else sa.literal_column("0", sa.BigInteger)


# The seconds that one statement should take.
STATEMENT_SECONDS = 0.3

# The rows of the first range, and of the smallest one.
FIRST_RANGE = 20_000

FEWEST = 1_000

# The most ids in a range.
WIDEST = 2_000_000


def ranges(
    side: Side,
    gate: Gate | Stopping,
    clock: Callable[[], float] = time.monotonic,
    *,
    most: int | None = None,
) -> Iterator[tuple[int, int]]:
    """Yield ranges of ids, as pairs of an exclusive and an inclusive bound.

    The rows of each range are chosen so that the caller's statement takes about
    STATEMENT_SECONDS; not more than *most* rows. Before each range *gate* is checked,
    which may wait or raise.
    """
    bound = extreme_id(side, sa.func.max)
    # nova's ids begin at 1; rows that were inserted by hand may have lower ids.
    after_id, rows = min(0, extreme_id(side, sa.func.min) - 1), most or FIRST_RANGE
    while after_id < bound:
        gate.check()
        started = clock()
        # Not beyond the last row: PostgreSQL refuses numbers above the type of the id.
        farthest = min(after_id + WIDEST, bound)
        nth = nth_id(side, after_id, farthest, rows)
        upto_id = farthest if nth is None else nth
        yield after_id, upto_id
        spent = max(clock() - started, 1e-3)
        # A short time for fewer rows than asked for is no measure for more rows.
        if nth is not None or spent > STATEMENT_SECONDS:
            rows = max(FEWEST, int(rows * min(4.0, STATEMENT_SECONDS / spent)))
            rows = min(rows, most or rows)
        # The next gap of ids may have up to 4,000,000,000 of them: jump over it.
        after_id = upto_id if nth else max(upto_id, next_id(side, upto_id) - 1)


def nth_id(side: Side, after_id: int, upto_id: int, rows: int) -> int | None:
    """Return the id of the last of *rows* rows of the side, or None for fewer rows.

    Ids have gaps, of other cells' mappings and of archived instances. A range of so
    many ids instead of rows would grow in a gap, and hold too many rows after it.
    Without an index on the side's rows, all ids up to *upto_id* may be searched.
    """
    return read.nth_id(
        side.database,
        after_id,
        bound=upto_id,
        rows=rows,
        ids=side.id,
        counted=side.counted,
    )


def next_id(side: Side, after_id: int) -> int:
    """Return the first id of the side's table after *after_id*, or 0."""
    first = sa.select(sa.func.coalesce(sa.func.min(side.id), 0))
    return int(side.database.read(first.where(side.id > after_id))[0][0])


def extreme_id(side: Side, function: Callable[[Any], Any]) -> int:
    """Return the lowest or the highest id of the side's table, or 0 without rows.

    *function* is SQL's min or max.
    """
    select = sa.select(sa.func.coalesce(function(side.id), 0))
    return int(side.database.read(select)[0][0])
