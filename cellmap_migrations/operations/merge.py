"""Move the mappings of a duplicate cell to the cell that is kept."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations.comparing.evidence import is_accepted
from cellmap_migrations.comparing.tally import Tally
from cellmap_migrations.copying.batches import Batches, first_batch_size, limit_rows
from cellmap_migrations.databases.among import read_among
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


def merge(cell: Cell, *, selector: str, gone: bool, dry_run: bool) -> None:
    """Move the mappings of the cell that *selector* names to *cell*.

    Both cells have the same database, or the duplicate's is *gone*. In the second case
    only mappings of instances that *cell* has are moved, unless ``accept_orphans``
    names the number of the others. With *dry_run* no row is written.

    Raises NotADuplicate, DifferentDatabases, DuplicateAnswers, MostlyElsewhere,
    OpposedMerge, MappingsLeft or Stopped, among others.
    """
    connect = partial(merge_refusals.connect_kept, cell.identities)
    cell = replace(cell, connect=connect, opened_once=[])
    duplicate = merge_refusals.find(cell, selector)
    (merge_refusals.refuse_alive if gone else merge_refusals.refuse_different)(
        cell, duplicate
    )
    moving = Moving(cell, duplicate, gone=gone)
    counts = moving.count() if gone or dry_run else Counter()
    if gone and is_accepted(cell, moving.left.total()):
        moving = Moving(cell, duplicate, gone=False)
        counts = moving.count()
    elif gone:
        here = counts[instance_mappings.name] + moving.moved_before()
        merge_refusals.refuse_most(cell, duplicate, moving.left, here)
    if not dry_run:
        prepare(cell)
        counts = moving.move_all(Batches(cell, MERGE))
    report_moved(cell, duplicate, counts, dry_run=dry_run)
    merge_refusals.refuse_left(cell, duplicate, moving.left)
    report_next(cell, duplicate, dry_run=dry_run)


def report_moved(
    cell: Cell, duplicate: CellMapping, counts: Counter[str], *, dry_run: bool
) -> None:
    """Report the number of mappings that were moved, or would be."""
    merge_rows.report_counts(cell, "would move" if dry_run else "moved", counts)
    if not counts.total():
        cell.report.results.append(
            f"cell {cell.mapping}: nothing to move from cell {duplicate}"
        )


def report_next(cell: Cell, duplicate: CellMapping, *, dry_run: bool) -> None:
    """Report the command to run after the merge."""
    command = f"nova-manage cell_v2 delete_cell --cell_uuid {duplicate.uuid}"
    first = "after the merge" if dry_run else "next"
    cell.report.results.append(f"{first}: {command}")
    cell.report.results.append(
        f"until then cell {duplicate} should be disabled, so that nova schedules "
        "nothing to it (update_cell --disable, Rocky and later)"
    )
    cell.report.details["next"] = command


class Moving:
    """Move the mappings of *duplicate* to *cell*.

    If the duplicate's database is *gone*, only mappings of instances that *cell* has
    are moved.
    """

    def __init__(self, cell: Cell, duplicate: CellMapping, *, gone: bool) -> None:
        self.cell, self.duplicate, self.gone = cell, duplicate, gone
        # The mappings that the last walk did not choose.
        self.left = Tally()
        # The last batch of merges into the duplicate when this one began.
        self.opposite: Any | None = None

    def count(self) -> Counter[str]:
        """Return the number of mappings that can be moved, by table."""
        self.left = Tally()
        counts: Counter[str] = Counter()
        for name, table in merge_rows.TABLES.items():
            for rows in self.pages(table, lambda: MOST):
                counts[name] += len(self.choose(table, rows))
        return counts

    def moved_before(self) -> int:
        """Return the number of mappings of instances that earlier runs have moved."""
        merged = not_undone(self.cell.api, self.cell.mapping.uuid).values()
        return sum(
            len(moved.ids)
            for moved in merged
            if moved.duplicate == self.duplicate.uuid
            and moved.table == instance_mappings.name
        )

    def move_all(self, batches: Batches) -> Counter[str]:
        """Move all mappings, and return their number by table.

        nova may map new instances to the duplicate meanwhile. So the walk is repeated
        until it moves none. Raises Stopped at a signal or a limit, or OpposedMerge if
        another run moves mappings to the duplicate at the same time.
        """
        self.opposite = merge_refusals.last_opposed(self.cell, self.duplicate)
        done: Counter[str] = Counter()
        while (moved := self.walk(batches)).total():
            done += moved
        merge_refusals.refuse_opposed(self.cell, self.duplicate, self.opposite)
        return done

    def walk(self, batches: Batches) -> Counter[str]:
        """Move the mappings that exist now, and return their number by table."""
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
        """Return the *rows* that may be moved, and add the others to ``left``.

        All hosts are moved: no instance tells their cell, and nova cannot delete their
        mappings while the database of the duplicate is gone.
        """
        if not self.gone or table is host_mappings:
            return list(rows)
        absent = merge_refusals.absent(self.cell, [row.name for row in rows])
        self.left.add(absent)
        uuids = {difference.uuid for difference in absent}
        return [row for row in rows if row.name not in uuids]

    def move(self, batches: Batches, table: sa.Table, ids: Sequence[int]) -> int:
        """Move the rows *ids* in one batch, and return their number."""
        ids = ids[: limit_rows(self.cell, len(ids))]
        unmoved: list[int] = []

        def prepare() -> Write:
            merge_refusals.refuse_opposed(self.cell, self.duplicate, self.opposite)
            unmoved[:] = self.unmoved(table, ids)
            return partial(self.write, table=table, ids=unmoved)

        def undo() -> str | None:
            moved = Moved(table=table.name, duplicate=self.duplicate.uuid, ids=unmoved)
            return moved.as_text() if unmoved else None

        return (
            merge_rows.commit(batches, prepare, undo, self.cell.mapping) if ids else 0
        )

    def unmoved(self, table: sa.Table, ids: Sequence[int]) -> list[int]:
        """Return the rows of *ids* that have the duplicate's cell now."""
        mine = table.c.cell_id == self.duplicate.id
        select = sa.select(table.c.id).where(mine)
        rows = read_among(self.cell.api.read_once, select, table.c.id, ids)
        return [row[0] for row in rows]

    def write(
        self,
        connection: sa.Connection,
        stamp: datetime,
        *,
        table: sa.Table,
        ids: Sequence[int],
    ) -> Counter[str]:
        """Move exactly the rows *ids*; raise Changed if one has another cell now."""
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


# The column that names a row of each table.
NAMES = {
    host_mappings.name: host_mappings.c.host,
    instance_mappings.name: instance_mappings.c.instance_uuid,
}
