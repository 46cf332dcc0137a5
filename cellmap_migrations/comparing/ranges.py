"""Cut a table into ranges of ids that a server gets through in a short statement."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations.copying import read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cellmap_migrations.comparing.sides import Side
    from cellmap_migrations.stopping import Stopping

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
