"""Walk the cell by ``instances.id``, from the last checkpoint to the end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cellmap_migrations.copying import read
from cellmap_migrations.copying.pace import Pace
from cellmap_migrations.copying.settle import settle
from cellmap_migrations.errors import Stopped

if TYPE_CHECKING:
    from cellmap_migrations.cell import Cell
    from cellmap_migrations.copying.batches import Batches
    from cellmap_migrations.copying.plans import Plan


def walk(cell: Cell, plan: Plan, batches: Batches) -> None:
    """Settle every instance after the last batch, up to the highest id of now.

    By id, because ``created_at`` may be NULL and is not unique. Raises Stopped at a
    signal or a limit; what was committed stays, and the next run goes on after it.
    """
    settings = cell.settings
    bound = read.highest_id(cell.source)
    pace = Pace(
        settings.batch_seconds,
        least=settings.batch_rows_min,
        most=settings.batch_rows_max,
    )
    with cell.progress.walking(batches.upto_id, bound) as moved:
        while batches.upto_id < bound:
            cell.pause_or_stop()
            size = min(pace.size, rows_allowed(cell))
            rows = read.after(
                cell.source, plan, batches.upto_id, bound=bound, rows=size
            )
            if not rows:
                return
            started = time.monotonic()
            settle(batches, plan, rows, bound if len(rows) < size else rows[-1].id)
            pace.learn(len(rows), time.monotonic() - started)
            moved(len(rows), batches.upto_id)


def rows_allowed(cell: Cell) -> int:
    """Return how many more rows this run may look at; raise Stopped at the limit."""
    limit = cell.settings.max_rows
    if limit is None:
        return cell.settings.batch_rows_max
    if cell.report.rows >= limit:
        raise Stopped(f"{limit} rows done (max_rows)")
    return limit - cell.report.rows
