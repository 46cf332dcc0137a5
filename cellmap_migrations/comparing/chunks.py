"""Find the uuids at which a cell and its mappings differ.

Each server computes a checksum per chunk of uuids, in short statements over ranges of
ids. Only unequal chunks are fetched, a page at a time, and each page is looked up on
the other side, so memory does not grow with the cell.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations.comparing.checksums import APART, near, ranges, totals

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cellmap_migrations.cell.cell import Cell
    from cellmap_migrations.common.stopping import Stopping
    from cellmap_migrations.comparing.checksums import Side


# How many rows a page has.
PAGE = 1_000

# How many chunks that only differ in created_at are fetched.
LATE = 40

# Beyond this many unequal chunks naming them costs more than fetching every row.
NAMED_CHUNKS = 1_000


def differing(
    cell: Cell, ours: Side, theirs: Side, *, look_again: float
) -> Iterator[list[str]]:
    """Yield pages of uuids at which the sides differ, *look_again* seconds later.

    The cloud is live, so what differed may have been equal a moment before or after;
    the caller looks at each uuid again, in new transactions.
    """
    chunks = unequal_chunks(cell, ours, theirs)
    if chunks:
        pages = fetched(cell, ours, theirs, chunks)
        yield from aged(pages, look_again, cell.stopping)


def unequal_chunks(cell: Cell, ours: Side, theirs: Side) -> list[str]:
    """Return the chunks whose rows differ in number, in checksum or in created_at.

    In created_at they do if the sums of both sides are more than APART seconds a row
    apart. This misses a few rows among many: in a chunk of 240 rows, as in a cell of a
    million instances, one row that is less than 4 hours off, and rows that are off by
    as much in both directions. Of the chunks that differ in nothing else only the first
    LATE are returned: map_instances makes nearly all rows late.
    """
    one, two = totals(cell, ours, theirs, chunked=True)
    none = (0, 0, 0)
    unequal, late = [], []
    for chunk in sorted(one.keys() | two.keys()):
        first, second = one.get(chunk, none), two.get(chunk, none)
        if first[:2] != second[:2]:
            unequal.append(chunk)
        elif abs(first[2] - second[2]) > first[0] * APART:
            late.append(chunk)
    return unequal + late[:LATE]


def fetched(
    cell: Cell, ours: Side, theirs: Side, chunks: Sequence[str]
) -> Iterator[list[str]]:
    """Yield the uuids of the unequal chunks that differ, from either side's view."""
    for side, other in ((ours, theirs), (theirs, ours)):
        one_way = side is theirs
        for rows in pages(cell, side, chunks):
            there = {
                row[0]: tuple(row[1:])
                for row in other.database.read(
                    sa.select(other.uuid, other.seconds, *other.texts).where(
                        other.belongs, other.uuid.in_(list(rows))
                    )
                )
            }
            if one_way:
                differ = [uuid for uuid in rows if uuid not in there]
            else:
                differ = [
                    uuid
                    for uuid, row in rows.items()
                    if uuid not in there or not same(row, there[uuid])
                ]
            if differ:
                yield differ


def same(row: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Return True if the texts of two rows are equal, and their times are near."""
    return row[1:] == other[1:] and near(row[0], other[0])


def pages(
    cell: Cell, side: Side, chunks: Sequence[str]
) -> Iterator[dict[str, tuple[Any, ...]]]:
    """Yield the rows of *chunks*, seconds and texts by uuid, up to PAGE at a time."""
    select = sa.select(side.id, side.uuid, side.seconds, *side.texts)
    select = select.where(side.belongs)
    if len(chunks) <= NAMED_CHUNKS:
        select = select.where(side.chunk.in_(chunks))
    for after_id, upto_id in ranges(side, cell.stopping):
        cell.keep_alive()
        reached = after_id
        while True:
            rows = side.database.read(
                select.where(side.id > reached, side.id <= upto_id)
                .order_by(side.id)
                .limit(PAGE)
            )
            if rows:
                yield {str(row[1]): tuple(row[2:]) for row in rows}
            if len(rows) < PAGE:
                break
            reached = rows[-1][0]
            cell.stopping.check()


def aged(
    found: Iterator[list[str]], seconds: float, stopping: Stopping
) -> Iterator[list[str]]:
    """Yield each page when it is at least *seconds* old."""
    waiting: deque[tuple[float, list[str]]] = deque()
    for page in found:
        waiting.append((time.monotonic() + seconds, page))
        while waiting[0][0] <= time.monotonic():
            yield waiting.popleft()[1]
            if not waiting:
                break
    for due, page in waiting:
        stopping.wait(max(0.0, due - time.monotonic()))
        yield page
