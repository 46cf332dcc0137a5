"""Undo a merge: move the mappings back to the duplicate cell."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import sqlalchemy as sa

from cellmap_migrations.common.errors import UnknownCell
from cellmap_migrations.common.sentences import MergeIsFinal
from cellmap_migrations.copying.batches import Batches, limit_rows
from cellmap_migrations.databases.among import read_among
from cellmap_migrations.operations import merge_refusals, merge_rows
from cellmap_migrations.operations.merge_rows import MERGE, Moved, not_undone, undid
from cellmap_migrations.operations.revisions import prepare

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cellmap_migrations.cell.cell import Cell
    from cellmap_migrations.nova.cells import CellMapping


def undo(cell: Cell, *, selector: str, dry_run: bool) -> None:
    """Move rows back to the cell that *selector* names, from which merges moved them.

    Rows that have another cell than *cell* by now are left. With *dry_run* no row is
    written. Raises MergeIsFinal if the other cell was deleted, or Stopped.
    """
    merged = not_undone(cell.api, cell.mapping.uuid)
    duplicate = find_duplicate(cell, selector, merged)
    ours = {
        n: moved for n, moved in merged.items() if moved.duplicate == duplicate.uuid
    }
    if dry_run:
        counts = sum((count(cell, moved) for moved in ours.values()), Counter())
    else:
        counts = undo_batches(cell, duplicate, ours)
    verb = "would give back" if dry_run else "gave back"
    merge_rows.report_counts(cell, verb, counts)
    if not counts.total():
        cell.report.results.append(
            f"cell {cell.mapping}: nothing to give back to cell {duplicate}"
        )


def find_duplicate(
    cell: Cell, selector: str, merged: Mapping[int, Moved]
) -> CellMapping:
    """Return the duplicate that *selector* names, as ``merge_refusals.find`` does.

    Raises MergeIsFinal if there is no such cell, and one was deleted after a merge.
    """
    try:
        return merge_refusals.find(cell, selector)
    except UnknownCell as error:
        uuids = {other.uuid for other in cell.cells.values()}
        gone = {moved.duplicate for moved in merged.values()} - uuids
        if not gone:
            raise
        raise MergeIsFinal(kept=cell.mapping, gone=", ".join(sorted(gone))) from error


def undo_batches(
    cell: Cell, duplicate: CellMapping, ours: Mapping[int, Moved]
) -> Counter[str]:
    """Undo the batches *ours*, each in one transaction; return the rows by table."""
    done: Counter[str] = Counter()
    if not ours:
        return done
    prepare(cell)
    batches = Batches(cell, MERGE)
    for number, moved in ours.items():
        cell.throttle.pause_or_stop()
        limit_rows(cell, len(moved.ids))
        done[moved.table] += give_back(batches, number, moved, duplicate)
    return done


def give_back(
    batches: Batches, number: int, moved: Moved, duplicate: CellMapping
) -> int:
    """Undo the batch *number* in one transaction; return the number of rows."""
    write = partial(
        merge_rows.reassign,
        table=merge_rows.TABLES[moved.table],
        ids=moved.ids,
        origin=batches.cell.mapping.id,
        target=duplicate.id,
    )
    return merge_rows.commit(batches, lambda: write, lambda: undid(number), duplicate)


def count(cell: Cell, moved: Moved) -> Counter[str]:
    """Return how many of the rows *moved* still have *cell*, by table."""
    table = merge_rows.TABLES[moved.table]
    select = sa.select(sa.func.count()).where(table.c.cell_id == cell.mapping.id)
    rows = read_among(cell.api.read, select, table.c.id, moved.ids)
    return Counter({moved.table: sum(int(row[0]) for row in rows)})
