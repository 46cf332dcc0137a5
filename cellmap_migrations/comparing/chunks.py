"""Find the uuids at which a cell and its mappings differ.

Each server computes checksums per chunk; only unequal chunks are fetched. They are
fetched page by page, and each page is compared with the same rows of the other side, so
memory does not grow with the cell.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa

from cellmap_migrations.comparing.checksums import NONE, ranges, totals
from cellmap_migrations.comparing.gate import Gate
from cellmap_migrations.databases.among import among, parts
from cellmap_migrations.databases.texts import number_text, read_texts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cellmap_migrations.cell.cell import Cell
    from cellmap_migrations.common.stopping import Stopping
    from cellmap_migrations.comparing.checksums import Side


@dataclass(frozen=True, kw_only=True, slots=True)
class Values:
    """Hold the compared texts of an instance and of its mapping with *mapping_id*."""

    mapping_id: int
    wanted: tuple[str, ...]
    found: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Page:
    """Hold uuids at which the sides differ.

    *absent* are on one side only. *values* are on both sides, by uuid.
    """

    absent: Sequence[str]
    values: Mapping[str, Values]

    @property
    def uuids(self) -> list[str]:
        """Return all uuids of the page."""
        return [*self.absent, *self.values]


def differing(
    cell: Cell, ours: Side, theirs: Side, *, look_again: float
) -> Iterator[Page]:
    """Yield the uuids at which the sides differ, *look_again* seconds later.

    *ours* is the side of the instances, *theirs* that of the mappings. The cloud is
    live, and the two sides are not read at the same moment. So the caller reads each
    uuid again in new transactions.
    """
    chunks = unequal_chunks(cell, ours, theirs)
    if chunks.all:
        pages = differing_now(cell, ours, theirs, chunks)
        yield from delay(pages, look_again, cell.stopping)


# The most seconds by which two times of created_at count as equal.
APART = 60

# The most chunks to fetch that differ only in created_at.
LATE = 40


@dataclass(frozen=True, kw_only=True)
class Chunks:
    """Hold the names of unequal chunks; in *other_uuids* the sets of uuids differ."""

    all: Sequence[str]
    other_uuids: Sequence[str]


def unequal_chunks(cell: Cell, ours: Side, theirs: Side) -> Chunks:
    """Return the chunks whose rows differ in number, in checksum or in created_at.

    They differ in created_at if the sums of both sides are more than APART seconds per
    row apart. This misses a few rows among many: in a chunk of 240 rows, as in a cell
    of a million instances, one row with a difference of less than 4 hours, and rows
    whose differences add up to 0. Of the chunks that differ only in created_at the
    first LATE are returned: nova's map_instances sets a late time in nearly all rows.
    """
    one, two = totals(cell, ours, theirs, chunked=True)
    unequal, late, other_uuids = [], [], []
    for chunk in sorted(one.keys() | two.keys()):
        first, second = one.get(chunk, NONE), two.get(chunk, NONE)
        if (first.rows, first.checksum) != (second.rows, second.checksum):
            unequal.append(chunk)
            if (first.rows, first.uuids) != (second.rows, second.uuids):
                other_uuids.append(chunk)
        elif abs(first.seconds - second.seconds) > first.rows * APART:
            late.append(chunk)
    return Chunks(all=unequal + late[:LATE], other_uuids=other_uuids)


def differing_now(
    cell: Cell, ours: Side, theirs: Side, chunks: Chunks
) -> Iterator[Page]:
    """Yield pages of uuids in *chunks* at which the sides differ now.

    The first pages have instances whose mapping is absent or different; the last ones
    have mappings without an instance.
    """
    for rows in chunk_pages(cell, ours, chunks.all):
        there = rows_of(theirs, list(rows))
        absent, values = [], {}
        for uuid, (_, row) in rows.items():
            number, other = there.get(uuid, ("", ()))
            if not other:
                absent.append(uuid)
            elif row != other and not is_same(as_row(row), as_row(other)):
                values[uuid] = Values(
                    mapping_id=int(number), wanted=row[1:], found=other[1:]
                )
        if absent or values:
            yield Page(absent=absent, values=values)
    for rows in chunk_pages(cell, theirs, chunks.other_uuids):
        present = rows_of(ours, list(rows))
        if absent := [uuid for uuid in rows if uuid not in present]:
            yield Page(absent=absent, values={})


def as_row(texts: tuple[str, ...]) -> tuple[Any, ...]:
    """Return *texts* with a number of seconds, or None, in the first place."""
    return (int(texts[0]) if texts[0] else None, *texts[1:])


def is_same(row: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Return True if two rows have the same texts and nearly the same created_at."""
    return row[1:] == other[1:] and is_near(row[0], other[0])


def is_near(one: int | None, other: int | None) -> bool:
    """Return True if two times, in seconds, are at most APART apart, or one is NULL."""
    return one is None or other is None or abs(one - other) <= APART


# Rows in a page.
PAGE = 10_000

# With more unequal chunks than these, every row is fetched: that takes less time than
# to select so many chunks by their names.
NAMED_CHUNKS = 1_000

# The text of the id, and then of the seconds and of the compared columns, by uuid.
Rows = dict[str, tuple[str, tuple[str, ...]]]


def chunk_pages(cell: Cell, side: Side, chunks: Sequence[str]) -> Iterator[Rows]:
    """Yield the rows of *chunks*; not more than PAGE at a time if these are many."""
    if not chunks:
        return
    select = select_rows(side)
    named = len(chunks) <= NAMED_CHUNKS
    if named:
        select = select.where(side.chunk.in_(chunks))
    spans = ranges(side, Gate(cell), most=None if named else PAGE)
    span = next(spans, None)
    while span:
        some = select.where(side.id > span[0], side.id <= span[1])
        rows = by_uuid(read_texts(side.database.read, some))
        # Before the caller works on the rows: the time until here sizes the next range.
        span = next(spans, None)
        if rows:
            yield rows


def rows_of(side: Side, uuids: Sequence[str]) -> Rows:
    """Return the rows of *uuids*, as the server compares them."""
    select = select_rows(side)
    found: Rows = {}
    for some in parts(uuids):
        rows = select.where(among(side.uuid, some))
        found |= by_uuid(read_texts(side.database.read, rows))
    return found


def select_rows(side: Side) -> sa.Select[Any]:
    """Return the SELECT of the uuid, the id, the seconds and the compared columns."""
    seconds = sa.func.coalesce(number_text(side.seconds), "")
    columns = (side.uuid, number_text(side.id), seconds, *side.texts)
    named: list[Any] = [
        each.label(f"text{number}") for number, each in enumerate(columns)
    ]
    return sa.select(*named).where(side.belongs)


def by_uuid(rows: Sequence[tuple[str, ...]]) -> Rows:
    """Return *rows* of ``select_rows`` by their uuid."""
    return {row[0]: (row[1], row[2:]) for row in rows}


T = TypeVar("T")


def delay(pages: Iterator[T], seconds: float, stopping: Stopping) -> Iterator[T]:
    """Yield each page at least *seconds* after it was fetched."""
    waiting: deque[tuple[float, T]] = deque()
    for page in pages:
        waiting.append((time.monotonic() + seconds, page))
        while waiting[0][0] <= time.monotonic():
            yield waiting.popleft()[1]
            if not waiting:
                break
    for due, page in waiting:
        stopping.wait(max(0.0, due - time.monotonic()))
        yield page
