"""Let both servers add up checksums of their rows, at the same time.

In short statements over ranges of ids, of which only sums go to the client.
"""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING

import sqlalchemy as sa

from cellmap_migrations.comparing.ranges import extreme_id, ranges
from cellmap_migrations.threads import at_once

if TYPE_CHECKING:
    from cellmap_migrations.cell import Cell
    from cellmap_migrations.comparing.sides import Side
    from cellmap_migrations.progress import Reached
    from cellmap_migrations.stopping import Stopping

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
