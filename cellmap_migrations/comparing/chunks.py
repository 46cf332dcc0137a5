"""Find the uuids at which the two sides differ, with little traffic for equal rows.

Both servers add up a checksum for each chunk of uuids, at the same time and in short
statements over ranges of ids. Only unequal chunks are fetched, a page at a time, and
each page is looked up on the other side, so memory does not grow with the cell.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from functools import partial
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations.comparing.at_once import at_once
from cellmap_migrations.comparing.ranges import extreme_id, ranges

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cellmap_migrations.comparing.sides import Side
    from cellmap_migrations.progress import Display, Moved
    from cellmap_migrations.stopping import Stopping

# How many rows a page has.
PAGE = 1_000

# Beyond this many unequal chunks naming them costs more than fetching every row.
NAMED_CHUNKS = 1_000

# All checksums are sums of 60-bit numbers, compared modulo this.
MODULUS = 1 << 64

Totals = dict[str, tuple[int, int]]


def differing(
    cell: Side, api: Side, *, display: Display, stopping: Stopping, look_again: float
) -> Iterator[list[str]]:
    """Yield pages of uuids at which the sides differ, *look_again* seconds later.

    The cloud is live, so what differed may have been equal a moment before or after;
    the caller looks at each uuid again, in new transactions.
    """
    chunks = unequal_chunks(cell, api, display, stopping)
    if chunks:
        pages = fetched(cell, api, chunks, stopping)
        yield from aged(pages, look_again, stopping)


def unequal_chunks(
    cell: Side, api: Side, display: Display, stopping: Stopping
) -> list[str]:
    """Return the chunks whose rows differ in number or in checksum."""
    bound = extreme_id(cell, sa.func.max)
    with display.walking(0, bound, "comparing") as moved:
        ours, theirs = at_once(
            partial(totals, cell, stopping, moved), partial(totals, api, stopping)
        )
    return sorted(
        chunk
        for chunk in ours.keys() | theirs.keys()
        if ours.get(chunk) != theirs.get(chunk)
    )


def totals(side: Side, stopping: Stopping, moved: Moved | None = None) -> Totals:
    """Return the number of rows and the checksum of each chunk."""
    checksum = side.database.backend.checksum
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    line = sa.literal_column("'\n'", sa.String)
    whole = side.uuid
    for text in side.texts:
        whole = whole + line + text
    select = sa.select(side.chunk, sa.func.count(), checksum(whole)).group_by(
        side.chunk
    )
    for after_id, upto_id in ranges(side, stopping):
        some = side.database.read(
            select.where(side.belongs, side.id > after_id, side.id <= upto_id)
        )
        for chunk, rows, total in some:
            found[chunk][0] += rows
            found[chunk][1] = (found[chunk][1] + int(total)) % MODULUS
        if moved:
            moved(sum(row[1] for row in some), upto_id)
    return {chunk: (rows, total) for chunk, (rows, total) in found.items()}


def fetched(
    cell: Side, api: Side, chunks: Sequence[str], stopping: Stopping
) -> Iterator[list[str]]:
    """Yield the uuids of the unequal chunks that differ, from either side's view."""
    for side, other in ((cell, api), (api, cell)):
        one_way = side is api
        for rows in pages(side, chunks, stopping):
            there = {
                row[0]: tuple(row[1:])
                for row in other.database.read(
                    sa.select(other.uuid, *other.texts).where(
                        other.belongs, other.uuid.in_(list(rows))
                    )
                )
            }
            if one_way:
                differ = [uuid for uuid in rows if uuid not in there]
            else:
                differ = [
                    uuid for uuid, texts in rows.items() if there.get(uuid) != texts
                ]
            if differ:
                yield differ


def pages(
    side: Side, chunks: Sequence[str], stopping: Stopping
) -> Iterator[dict[str, tuple[Any, ...]]]:
    """Yield the rows of *chunks*, as texts by uuid, up to PAGE at a time."""
    select = sa.select(side.id, side.uuid, *side.texts).where(side.belongs)
    if len(chunks) <= NAMED_CHUNKS:
        select = select.where(side.chunk.in_(chunks))
    for after_id, upto_id in ranges(side, stopping):
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
            stopping.check()


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
