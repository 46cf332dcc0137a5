"""Walk the cell by ``instances.id``, from the last checkpoint to the end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import sqlalchemy as sa

from cellmap_migrations.bookkeeping.journal import Pause
from cellmap_migrations.copying import read
from cellmap_migrations.copying.pace import pace_of
from cellmap_migrations.copying.pipeline import Pipeline
from cellmap_migrations.copying.settle import settle

if TYPE_CHECKING:
    from cellmap_migrations.cell import Cell
    from cellmap_migrations.copying.batches import Batches
    from cellmap_migrations.copying.pages import Page
    from cellmap_migrations.copying.plans import Plan


def walk(cell: Cell, plan: Plan, batches: Batches) -> None:
    """Settle every instance after the last batch, up to the highest id of now.

    By id, because ``created_at`` may be NULL and is not unique. Raises Stopped at a
    signal or a limit; what was committed stays, and the next run goes on after it.
    """
    bound = read.highest_id(cell.source)
    pace = pace_of(cell, batches.rows)
    with cell.progress.walking(batches.upto_id, bound) as reached:
        pipeline = Pipeline(batches, plan, pace, bound=bound, reached=reached)
        while (refused := pipeline.run()) is not None:
            started = time.monotonic()
            by_itself(batches, plan, refused)
            pace.learn(refused.rows, time.monotonic() - started)
            reached(refused.rows, refused.upto_id)


def by_itself(batches: Batches, plan: Plan, page: Page) -> None:
    """Commit a page that was refused, unless only the answer to its COMMIT was lost."""
    place = batches.next(page.upto_id, Pause())
    counts = batches.committed(place)
    if counts is not None:
        batches.advance(place, counts)
        return
    source = batches.cell.source
    rows = read.between(source, plan, page.after_id, page.upto_id, sa.true())
    settle(batches, plan, rows, page.upto_id)
