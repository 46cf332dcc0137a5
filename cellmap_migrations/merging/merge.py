"""Give the mappings of a duplicate cell to the cell that is kept."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from cellmap_migrations.comparing.evidence import accepted
from cellmap_migrations.copying.batches import Batches
from cellmap_migrations.merging import batch, pair, presence
from cellmap_migrations.merging.moved import MERGE
from cellmap_migrations.merging.moving import Moving
from cellmap_migrations.schema import instance_mappings

if TYPE_CHECKING:
    from cellmap_migrations.cell import Cell
    from cellmap_migrations.directory import CellMapping


def merge(cell: Cell, *, selector: str, gone: bool, dry_run: bool) -> None:
    """Move the mappings of the cell that *selector* names to *cell*.

    Both have one database. Or the duplicate's is *gone*, and then only mappings of
    instances that *cell* has are moved, unless ``accept_orphans`` names the number of
    the others. With *dry_run* nothing at all is written.

    Raises NotADuplicate, DifferentDatabases, DuplicateAnswers, MostlyElsewhere,
    MappingsLeft or Stopped, among others.
    """
    duplicate = pair.find(cell, selector)
    (pair.refuse_alive if gone else pair.refuse_different)(cell, duplicate)
    work = Moving(cell, duplicate, gone=gone)
    found = work.count() if gone or dry_run else Counter()
    if gone and accepted(cell, work.left.total()):
        work = Moving(cell, duplicate, gone=False)
        found = work.count()
    elif gone:
        here = found[instance_mappings.name] + work.moved_before()
        presence.refuse_most(cell, duplicate, work.left, here)
    if not dry_run:
        cell.prepare()
        found = work.run(Batches(cell, MERGE))
    tell(cell, duplicate, found, dry_run=dry_run)
    presence.refuse_left(cell, duplicate, work.left)
    advise(cell, duplicate, dry_run=dry_run)


def tell(
    cell: Cell, duplicate: CellMapping, found: Counter[str], *, dry_run: bool
) -> None:
    """Put into the report how many mappings were moved, or would be."""
    batch.tell(cell, "would move" if dry_run else "moved", found)
    if not found.total():
        cell.report.results.append(
            f"cell {cell.mapping}: nothing to move from cell {duplicate}"
        )


def advise(cell: Cell, duplicate: CellMapping, *, dry_run: bool) -> None:
    """Put the next command into the report."""
    command = f"nova-manage cell_v2 delete_cell --cell_uuid {duplicate.uuid}"
    first = "after the merge" if dry_run else "next"
    cell.report.results.append(f"{first}: {command}")
    cell.report.results.append(
        f"until then cell {duplicate} should be disabled, so that nova schedules "
        "nothing to it (update_cell --disable, Rocky and later)"
    )
    cell.report.details |= {"next": command}
