"""Give the mappings of a duplicate cell to the cell that is kept."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations.comparing.differences import Tally
from cellmap_migrations.comparing.evidence import accepted
from cellmap_migrations.copying.batches import Batches, first_batch_size, limit_rows
from cellmap_migrations.databases.database import Changed
from cellmap_migrations.nova.tables import host_mappings, instance_mappings
from cellmap_migrations.operations import merge_refusals, merge_rows
from cellmap_migrations.operations.merge_rows import MERGE, MOST, Moved, not_undone
from cellmap_migrations.operations.revisions import prepare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from cellmap_migrations.cell.cell import Cell
    from cellmap_migrations.copying.batches import Write
    from cellmap_migrations.nova.cells import CellMapping


# The column that names a row of each table.
NAMES = {
    host_mappings.name: host_mappings.c.host,
    instance_mappings.name: instance_mappings.c.instance_uuid,
}


class Moving:
    """The mappings of *duplicate*, on their way to *cell*."""

    def __init__(self, cell: Cell, duplicate: CellMapping, *, gone: bool) -> None:
        self.cell, self.duplicate, self.gone = cell, duplicate, gone
        # The mappings that the last look at all of them left out.
        self.left = Tally()
        # The last batch of merges into the duplicate when this one began.
        self.opposite = 0

    def count(self) -> Counter[str]:
        """Return how many mappings of each table can be moved."""
        self.left = Tally()
        found: Counter[str] = Counter()
        for name, table in merge_rows.TABLES.items():
            for rows in self.pages(table, lambda: MOST):
                found[name] += len(self.choose(table, rows))
        return found

    def moved_before(self) -> int:
        """Return how many instances earlier runs moved; one may have been killed."""
        merged = not_undone(self.cell.api, self.cell.mapping.uuid).values()
        return sum(
            len(moved.ids)
            for moved in merged
            if moved.duplicate == self.duplicate.uuid
            and moved.table == instance_mappings.name
        )

    def run(self, batches: Batches) -> Counter[str]:
        """Move all mappings, and return how many of each table.

        nova may map new instances to the duplicate meanwhile, so it looks again until
        there is nothing to move. Raises Stopped at a signal or a limit, or OpposedMerge
        if another run moves mappings to the duplicate at the same time.
        """
        self.opposite = merge_refusals.last_opposed(self.cell, self.duplicate)
        done: Counter[str] = Counter()
        while (found := self.once(batches)).total():
            done += found
        merge_refusals.refuse_opposed(self.cell, self.duplicate, self.opposite)
        return done

    def once(self, batches: Batches) -> Counter[str]:
        """Walk once through the mappings and move them; return how many."""
        self.left = Tally()
        pace = first_batch_size(self.cell)
        done: Counter[str] = Counter()
        for name, table in merge_rows.TABLES.items():
            for rows in self.pages(table, lambda: min(pace.size, MOST)):
                self.cell.throttle.pause_or_stop()
                started = time.monotonic()
                ids = [row.id for row in self.choose(table, rows)]
                done[name] += self.move(batches, table, ids)
                pace.learn(len(rows), time.monotonic() - started)
        return done

    def pages(
        self, table: sa.Table, size: Callable[[], int]
    ) -> Iterator[Sequence[Any]]:
        """Yield the duplicate's rows of *table* by id, *size* at a time."""
        reached = 0
        select = sa.select(table.c.id, NAMES[table.name].label("name"))
        while rows := self.cell.api.read(
            select.where(table.c.cell_id == self.duplicate.id, table.c.id > reached)
            .order_by(table.c.id)
            .limit(size())
        ):
            self.cell.stopping.check_limits()
            yield rows
            reached = rows[-1].id

    def choose(self, table: sa.Table, rows: Sequence[Any]) -> list[Any]:
        """Return the *rows* that may be moved; note the others in ``left``.

        A host has no instance to be found by, and nova cannot delete its mapping while
        the cell's database is gone.
        """
        if not self.gone or table is host_mappings:
            return list(rows)
        absent = merge_refusals.lost(self.cell, [row.name for row in rows])
        self.left.add(absent)
        uuids = {difference.uuid for difference in absent}
        return [row for row in rows if row.name not in uuids]

    def move(self, batches: Batches, table: sa.Table, ids: Sequence[int]) -> int:
        """Move the rows *ids* in one batch, and return how many those are."""
        ids = ids[: limit_rows(self.cell, len(ids))]
        now: list[int] = []

        def prepare() -> Write:
            merge_refusals.refuse_opposed(self.cell, self.duplicate, self.opposite)
            now[:] = self.still(table, ids)
            return partial(self.write, table=table, ids=now)

        def undo() -> str | None:
            moved = Moved(table=table.name, duplicate=self.duplicate.uuid, ids=now)
            return moved.as_text() if now else None

        return (
            merge_rows.commit(batches, prepare, undo, self.cell.mapping) if ids else 0
        )

    def still(self, table: sa.Table, ids: Sequence[int]) -> list[int]:
        """Return which of the rows *ids* are the duplicate's now."""
        mine = table.c.cell_id == self.duplicate.id
        rows = self.cell.api.read_once(
            sa.select(table.c.id).where(table.c.id.in_(ids), mine)
        )
        return [row[0] for row in rows]

    def write(
        self,
        connection: sa.Connection,
        stamp: datetime,
        *,
        table: sa.Table,
        ids: Sequence[int],
    ) -> Counter[str]:
        """Move exactly the rows *ids*; raise Changed if one is not there any more."""
        counts = merge_rows.reassign(
            connection,
            stamp,
            table=table,
            ids=ids,
            origin=self.duplicate.id,
            target=self.cell.mapping.id,
        )
        if counts[merge_rows.MOVED] != len(ids):
            raise Changed("others keep changing the mappings of this batch")
        return counts


def merge(cell: Cell, *, selector: str, gone: bool, dry_run: bool) -> None:
    """Move the mappings of the cell that *selector* names to *cell*.

    Both have one database. Or the duplicate's is *gone*, and then only mappings of
    instances that *cell* has are moved, unless ``accept_orphans`` names the number of
    the others. With *dry_run* nothing at all is written.

    Raises NotADuplicate, DifferentDatabases, DuplicateAnswers, MostlyElsewhere,
    OpposedMerge, MappingsLeft or Stopped, among others.
    """
    connect = partial(merge_refusals.connect_kept, cell.identities)
    cell = replace(cell, connect=connect, opened_once=[])
    duplicate = merge_refusals.find(cell, selector)
    (merge_refusals.refuse_alive if gone else merge_refusals.refuse_different)(
        cell, duplicate
    )
    work = Moving(cell, duplicate, gone=gone)
    found = work.count() if gone or dry_run else Counter()
    if gone and accepted(cell, work.left.total()):
        work = Moving(cell, duplicate, gone=False)
        found = work.count()
    elif gone:
        here = found[instance_mappings.name] + work.moved_before()
        merge_refusals.refuse_most(cell, duplicate, work.left, here)
    if not dry_run:
        prepare(cell)
        found = work.run(Batches(cell, MERGE))
    tell(cell, duplicate, found, dry_run=dry_run)
    merge_refusals.refuse_left(cell, duplicate, work.left)
    advise(cell, duplicate, dry_run=dry_run)


def tell(
    cell: Cell, duplicate: CellMapping, found: Counter[str], *, dry_run: bool
) -> None:
    """Put into the report how many mappings were moved, or would be."""
    merge_rows.tell(cell, "would move" if dry_run else "moved", found)
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
