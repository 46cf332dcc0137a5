"""Cut a table into ranges of ids that a server gets through in a short statement."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cellmap_migrations.comparing.sides import Side
    from cellmap_migrations.stopping import Stopping

# How long one statement should take, and how many ids wide the ranges are.
STATEMENT_SECONDS = 0.3
FIRST_RANGE = 20_000
NARROWEST = 1_000


def highest_id(side: Side) -> int:
    """Return the highest id of the side's table, or 0."""
    highest = sa.select(sa.func.coalesce(sa.func.max(side.id), 0))
    return int(side.database.read(highest)[0][0])


def ranges(
    side: Side, stopping: Stopping, clock: Callable[[], float] = time.monotonic
) -> Iterator[tuple[int, int]]:
    """Yield ranges of ids, each as wide as the time for the last one allows."""
    bound = highest_id(side)
    after_id, width = 0, FIRST_RANGE
    while after_id < bound:
        stopping.check()
        started = clock()
        upto_id = min(after_id + width, bound)
        yield after_id, upto_id
        spent = max(clock() - started, 1e-3)
        width = max(NARROWEST, int(width * min(4.0, STATEMENT_SECONDS / spent)))
        after_id = upto_id
