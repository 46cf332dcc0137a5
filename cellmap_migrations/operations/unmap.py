"""Remove the mappings that a revision inserted."""

from __future__ import annotations

import time
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations.bookkeeping.journal import inserted_by
from cellmap_migrations.common.stderr import say
from cellmap_migrations.copying import write
from cellmap_migrations.copying.batches import first_batch_size, limit_rows
from cellmap_migrations.nova.tables import instance_mappings

if TYPE_CHECKING:
    from cellmap_migrations.cell.cell import Cell
    from cellmap_migrations.copying.batches import Batches


def unmap(cell: Cell, batches: Batches) -> None:
    """Delete the mappings that the revision inserted, and rewind its checkpoint.

    Deleted mappings are not read again, so a run after a killed one goes on where that
    stopped. Raises Stopped at a signal or a limit.
    """
    pace = first_batch_size(cell)
    ours = inserted_by(cell.mapping, batches.revision)
    reached, left = 0, 0
    while True:
        cell.throttle.pause_or_stop()
        rows = cell.api.read(
            sa.select(instance_mappings)
            .with_only_columns(
                instance_mappings.c.id,
                instance_mappings.c.created_at,
                instance_mappings.c.updated_at,
            )
            .where(ours, instance_mappings.c.id > reached)
            .order_by(instance_mappings.c.id)
            .limit(pace.size)
        )
        if not rows:
            break
        rows = rows[: limit_rows(cell, len(rows))]
        certain = [row.id for row in rows if is_ours(row, cell.settings.grace_seconds)]
        started = time.monotonic()
        batches.commit_prepared(partial(write.remove_ids, ids=certain, where=ours))
        pace.learn(len(rows), time.monotonic() - started)
        left += len(rows) - len(certain)
        reached = rows[-1].id
    batches.rewind()
    if left:
        say(
            f"cell {cell.mapping}: {left:,} mappings are left that cannot be told from "
            "nova's own"
        )


def is_ours(row: Any, grace_seconds: int) -> bool:
    """Return True if this package certainly inserted the mapping *row*.

    If nova wrote it in the second of a stamp, for a server that booted then, its
    ``created_at`` is within *grace_seconds* of that second.
    """
    return row.created_at is None or row.updated_at - row.created_at >= timedelta(
        seconds=grace_seconds
    )
