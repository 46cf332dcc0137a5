"""Give rows of nova's mappings another cell, a batch in each transaction."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import sqlalchemy as sa

from cellmap_migrations import directory
from cellmap_migrations.backends import Fault
from cellmap_migrations.outcomes import Outcome
from cellmap_migrations.schema import host_mappings, instance_mappings

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import datetime

    from cellmap_migrations.cell import Cell
    from cellmap_migrations.copying.batches import Batches, Undo, Work
    from cellmap_migrations.directory import CellMapping

# Hosts first: nova takes the cell of a new instance from the mapping of its host.
TABLES = {table.name: table for table in (host_mappings, instance_mappings)}

MOVED = Outcome.MOVED.value


def reassign(
    connection: sa.Connection,
    _stamp: datetime,
    *,
    table: sa.Table,
    ids: Collection[int],
    origin: int,
    target: int,
) -> Counter[str]:
    """Give the rows that still have the cell *origin* the cell *target*; count them.

    ``updated_at`` stays: it tells which rows this package inserted.
    """
    result = connection.execute(
        sa.update(table)
        .where(table.c.id.in_(ids), table.c.cell_id == origin)
        .values(cell_id=target)
    )
    return Counter({MOVED: result.rowcount})


def commit(
    batches: Batches, prepare: Callable[[], Work], undo: Undo, target: CellMapping
) -> int:
    """Commit one batch that gives rows the cell *target*; return how many.

    Raises AnotherRun, or CellGone if somebody deleted the cell meanwhile.
    """
    api = batches.cell.api
    try:
        return batches.perform(prepare, batches.upto_id, undo)[MOVED]
    except api.errors as error:
        if api.backend.fault(error) is not Fault.DATA:
            raise
        batches.committed()
        directory.refuse_gone(api, target)
        raise


def tell(cell: Cell, verb: str, counts: Counter[str]) -> None:
    """Put into the report how many rows of each table were moved."""
    cell.report.results += [
        f"{verb:<18}{name:<18}{counts[name]:>9,}" for name in TABLES if counts[name]
    ]
    cell.report.details |= {
        "moved_mappings": {name: counts[name] for name in TABLES},
    }
