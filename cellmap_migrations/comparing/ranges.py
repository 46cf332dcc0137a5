"""Cut a table into ranges of ids that a server gets through in a short statement."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

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
        nth = nth_id(side, after_id, rows)
        upto_id = after_id + WIDEST if nth is None else nth
        yield after_id, upto_id
        spent = max(clock() - started, 1e-3)
        # A range with fewer rows than asked for says nothing about more of them.
        if nth is not None or spent > STATEMENT_SECONDS:
            rows = max(FEWEST, int(rows * min(4.0, STATEMENT_SECONDS / spent)))
        after_id = upto_id


def nth_id(side: Side, after_id: int, rows: int) -> int | None:
    """Return the id of the last of *rows* rows of the side, or None for fewer rows.

    Ids have holes, of other cells' mappings and of archived instances: a range that
    grew while it crossed a hole would hold too many rows behind it. Where no index
    leads to the side's rows, no more than WIDEST ids are searched.
    """
    within = (side.id > after_id, side.id <= after_id + WIDEST)
    found = side.database.read(
        sa.select(side.id)
        .where(side.counted, *within)
        .order_by(side.id)
        .limit(1)
        .offset(rows - 1)
    )
    return int(found[0][0]) if found else None
