"""Find the uuids at which a cell and its mappings differ.

Each server computes a checksum per chunk; only unequal chunks are fetched. They are
fetched page by page, and each page is compared with the same rows of the other side, so
memory does not grow with the cell.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations.comparing.checksums import ranges, totals
from cellmap_migrations.comparing.gate import Gate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cellmap_migrations.cell.cell import Cell
    from cellmap_migrations.common.stopping import Stopping
    from cellmap_migrations.comparing.checksums import Side


def differing(
    cell: Cell, ours: Side, theirs: Side, *, look_again: float
) -> Iterator[list[str]]:
    """Yield pages of uuids at which the sides differ, *look_again* seconds later.

    The cloud is live, and the two sides are not read at the same moment. So the caller
    reads each uuid again in new transactions.
    """
    chunks = unequal_chunks(cell, ours, theirs)
    if chunks:
        pages = differing_now(cell, ours, theirs, chunks)
        yield from delay(pages, look_again, cell.stopping)


# The most seconds by which two times of created_at count as equal.
APART = 60

# The most chunks to fetch that differ only in created_at.
LATE = 40


def unequal_chunks(cell: Cell, ours: Side, theirs: Side) -> list[str]:
    """Return the chunks whose rows differ in number, in checksum or in created_at.

    They differ in created_at if the sums of both sides are more than APART seconds per
    row apart. This misses a few rows among many: in a chunk of 240 rows, as in a cell
    of a million instances, one row with a difference of less than 4 hours, and rows
    whose differences add up to 0. Of the chunks that differ only in created_at the
    first LATE are returned: nova's map_instances sets a late time in nearly all rows.
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


def differing_now(
    cell: Cell, ours: Side, theirs: Side, chunks: Sequence[str]
) -> Iterator[list[str]]:
    """Yield pages of uuids in *chunks* at which the sides differ now.

    The first pages have rows of *ours* that are absent or different on the other side;
    the last ones have rows of *theirs* that are absent.
    """
    for side, other in ((ours, theirs), (theirs, ours)):
        only_absent = side is theirs
        for rows in chunk_pages(cell, side, chunks):
            there = {
                row[0]: tuple(row[1:])
                for row in other.database.read(
                    sa.select(other.uuid, other.seconds, *other.texts).where(
                        other.belongs, other.uuid.in_(list(rows))
                    )
                )
            }
            if only_absent:
                differ = [uuid for uuid in rows if uuid not in there]
            else:
                differ = [
                    uuid
                    for uuid, row in rows.items()
                    if uuid not in there or not is_same(row, there[uuid])
                ]
            if differ:
                yield differ


def is_same(row: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Return True if two rows have the same texts and nearly the same created_at."""
    return row[1:] == other[1:] and is_near(row[0], other[0])


def is_near(one: int | None, other: int | None) -> bool:
    """Return True if two times, in seconds, are at most APART apart, or one is NULL."""
    return one is None or other is None or abs(one - other) <= APART


# Rows in a page.
PAGE = 1_000

# With more unequal chunks than these, every row is fetched: that takes less time than
# to select so many chunks by their names.
NAMED_CHUNKS = 1_000


def chunk_pages(
    cell: Cell, side: Side, chunks: Sequence[str]
) -> Iterator[dict[str, tuple[Any, ...]]]:
    """Yield up to PAGE rows of *chunks* at a time: seconds and texts, by uuid."""
    select = sa.select(side.id, side.uuid, side.seconds, *side.texts)
    select = select.where(side.belongs)
    if len(chunks) <= NAMED_CHUNKS:
        select = select.where(side.chunk.in_(chunks))
    gate = Gate(cell)
    for after_id, upto_id in ranges(side, gate):
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
            gate.check()


def delay(
    pages: Iterator[list[str]], seconds: float, stopping: Stopping
) -> Iterator[list[str]]:
    """Yield each page at least *seconds* after it was fetched."""
    waiting: deque[tuple[float, list[str]]] = deque()
    for page in pages:
        waiting.append((time.monotonic() + seconds, page))
        while waiting[0][0] <= time.monotonic():
            yield waiting.popleft()[1]
            if not waiting:
                break
    for due, page in waiting:
        stopping.wait(max(0.0, due - time.monotonic()))
        yield page
