"""Correct the differences that a comparison finds, where that is safe."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations.bookkeeping.tables import MENDED
from cellmap_migrations.common.sentences import Unsettled
from cellmap_migrations.comparing.differences import (
    KINDS,
    Difference,
    Kind,
    Tally,
    as_difference,
    column_differences,
    differences,
    exact_mappings,
)
from cellmap_migrations.comparing.losses import Losses
from cellmap_migrations.comparing.orphans import (
    kept_by_repair,
    kept_by_upgrade,
    remove_orphans,
)
from cellmap_migrations.copying import read
from cellmap_migrations.copying.batches import split_at_limit
from cellmap_migrations.copying.refused import commit_rows
from cellmap_migrations.databases.base import DATABASE_ERRORS
from cellmap_migrations.databases.codes import Fault
from cellmap_migrations.databases.database import message
from cellmap_migrations.nova.rules import WRITTEN, Outcome, Verdict
from cellmap_migrations.nova.tables import instance_mappings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from cellmap_migrations.cell.cell import Cell
    from cellmap_migrations.copying.batches import Batches
    from cellmap_migrations.copying.plan import Plan
    from cellmap_migrations.nova.rules import Instance


# Kinds that are mended by writing or removing whole mappings.
MAPPINGS = frozenset({Kind.UNMAPPED, Kind.NO_CELL, Kind.WRONG_CELL, Kind.ORPHAN})

# Kinds that are mended by setting one column.
COLUMNS = (Kind.QUEUED_FOR_DELETE, Kind.USER_ID)

# The most comparisons. After one that mended rows or counted orphans comes another one,
# which finds fewer differences.
PASSES = 6


class Mending:
    """Mend the differences of some *kinds*, in the *compared* columns.

    With *include_foreign* it also mends mappings that others than this package wrote.
    """

    def __init__(
        self,
        batches: Batches,
        plan: Plan,
        *,
        kinds: frozenset[Kind],
        compared: Sequence[str] = (),
        include_foreign: bool = False,
    ) -> None:
        self.batches, self.cell, self.plan = batches, batches.cell, plan
        self.kinds, self.compared = kinds, compared
        self.include_foreign = include_foreign
        self.done = Tally()
        # Orphans are removed only after a pass has counted all of them.
        self.losses, self.counting = Losses(self.cell, plan), True

    def mend_all(self) -> Tally:
        """Compare and mend until a comparison finds nothing to mend.

        Returns the differences of the last comparison. Raises InstancesMissing if the
        orphans are evidence of a wrong database, or Unsettled if the cloud changes
        faster than it is mended.
        """
        written = 0
        for _ in range(PASSES):
            left, before = Tally(), self.done.total()
            for page in differences(self.cell, self.plan, self.compared):
                left.add(self.mend_page(page))
                self.cell.throttle.pause()
            written = self.done.total() - before
            held = self.counting and Kind.ORPHAN in self.kinds
            if self.counting:
                self.losses.refuse()
                self.counting = False
            if not written and not (held and left.counts[Kind.ORPHAN]):
                return left
        raise Unsettled(cell=self.cell.mapping, count=written)

    def mend_page(self, page: Sequence[Difference]) -> list[Difference]:
        """Mend the differences of a page, and return those that are left."""
        by_kind: dict[Kind, list[Difference]] = defaultdict(list)
        for difference in page:
            by_kind[difference.kind].append(difference)
        left: list[Difference] = []
        for kind, differing in by_kind.items():
            if kind is Kind.ORPHAN and self.counting:
                self.losses.count([difference.uuid for difference in differing])
                rest: Sequence[Difference] = differing
            elif kind in self.kinds:
                parts = split_at_limit(self.cell, differing)
                rest = [each for part in parts for each in self.mend_kind(kind, part)]
            else:
                rest = differing
            left += rest
            still = {difference.uuid for difference in rest}
            self.done.add(each for each in differing if each.uuid not in still)
        return left

    def mend_kind(
        self, kind: Kind, differing: Sequence[Difference]
    ) -> Sequence[Difference]:
        """Mend differences of one kind, and return those that are left."""
        if kind is Kind.ORPHAN:
            return self.remove(differing)
        if kind in COLUMNS:
            column = partial(
                set_column, cell=self.cell, plan=self.plan, name=kind.value
            )
            return self.commit_batch(differing, column)
        return self.write_mappings(differing)

    def remove(self, orphans: Sequence[Difference]) -> list[Difference]:
        """Remove the orphans that need not stay, and return the others."""
        if self.include_foreign:
            kept = kept_by_repair(self.cell, self.plan, orphans)
        else:
            kept = kept_by_upgrade(self.cell, self.plan, orphans)
        keep = {difference.uuid for difference in kept}
        gone = [difference for difference in orphans if difference.uuid not in keep]
        self.losses.allow_removal(len(gone))
        remove = partial(
            remove_orphans,
            cell=self.cell,
            plan=self.plan,
            include_foreign=self.include_foreign,
        )
        return kept + self.commit_batch(gone, remove)

    def write_mappings(self, differing: Sequence[Difference]) -> list[Difference]:
        """Insert, fill and move mappings as a walk does; return the rest."""
        wrong: list[Difference] = []
        misspelled: list[Difference] = []
        for difference in differing:
            assert difference.verdict is not None
            written = difference.verdict.outcome in WRITTEN
            (wrong if written else misspelled).append(difference)
        left: list[Difference] = []
        if misspelled and self.include_foreign:
            left += self.commit_batch(misspelled, partial(respell, cell=self.cell))
        else:
            left += misspelled
        if not wrong:
            return left
        rows = [each.verdict.instance for each in wrong if each.verdict]
        verdicts = commit_rows(self.batches, self.plan, rows, self.batches.upto_id)
        left += [as_difference(KINDS[v.outcome], v) for v in verdicts if v.why]
        return left

    def commit_batch(
        self, differing: Sequence[Difference], write: partial[Counter[str]]
    ) -> list[Difference]:
        """Commit a batch in which *write* mends; return the differences it left.

        If the database refuses the rows, each half is committed by itself, until the
        bad row is alone.
        """
        changed: set[str] = set()
        uuids = [difference.uuid for difference in differing]
        if not uuids:
            return []
        try:
            self.batches.commit_prepared(partial(write, uuids=uuids, changed=changed))
        except DATABASE_ERRORS as error:
            if self.cell.api.backend.fault(error) is not Fault.DATA:
                raise
            self.batches.committed()
            if len(differing) == 1:
                return [replace(differing[0], why=message(error))]
            middle = len(differing) // 2
            left = self.commit_batch(differing[:middle], write)
            return left + self.commit_batch(differing[middle:], write)
        return [each for each in differing if each.uuid not in changed]


def set_column(
    connection: sa.Connection,
    _stamp: datetime,
    *,
    cell: Cell,
    plan: Plan,
    name: str,
    uuids: Sequence[str],
    changed: set[str],
) -> Counter[str]:
    """Set the column *name* of mappings to the cell's values; return their count.

    The mappings are locked before the cell is read. nova changes a restored instance
    before it clears the flag of its mapping. So under the lock either the change is
    read here, or nova's own write comes after this one.

    ``queued_for_delete`` is never changed from true to false: nova sets it before it
    deletes an instance. A NULL in the cell overwrites no value. *changed* gets the
    uuids of the changed mappings.
    """
    connection.execute(
        sa.select(instance_mappings.c.id)
        .where(instance_mappings.c.instance_uuid.in_(uuids))
        .with_for_update()
    )
    mappings = exact_mappings(connection, uuids, [name])
    rows = read.by_uuids_soon(cell.database, plan, uuids)
    changed.clear()
    for (old, new), some in find_changes(cell, rows, mappings, name).items():
        connection.execute(
            sa.update(instance_mappings)
            .where(
                instance_mappings.c.instance_uuid.in_(some),
                instance_mappings.c.cell_id == cell.mapping.id,
                instance_mappings.c[name].is_not_distinct_from(old),
            )
            .values({name: new})
        )
        changed.update(some)
    return Counter({MENDED: len(changed)})


def find_changes(
    cell: Cell, rows: Sequence[Instance], mappings: dict[str, Any], name: str
) -> dict[tuple[Any, Any], list[str]]:
    """Return the uuids to change, by their old and their new value of column *name*."""
    wanted: dict[tuple[Any, Any], list[str]] = defaultdict(list)
    for row in rows:
        existing = mappings.get(row.uuid)
        if existing is None or existing.cell_id != cell.mapping.id or row.hidden:
            continue
        verdict = Verdict(instance=row, outcome=Outcome.ALREADY)
        kinds = {each.kind for each in column_differences(verdict, existing, [name])}
        if Kind(name) in kinds and row.values[name] is not None:
            wanted[getattr(existing, name), row.values[name]].append(row.uuid)
    return wanted


def respell(
    connection: sa.Connection,
    _stamp: datetime,
    *,
    cell: Cell,
    uuids: Sequence[str],
    changed: set[str],
) -> Counter[str]:
    """Change the uuids of mappings to the cell's spelling; return their count.

    Only mappings that the API database finds under that spelling already, because it
    ignores case. *changed* gets their uuids.
    """
    changed.clear()
    for uuid in uuids:
        result = connection.execute(
            sa.update(instance_mappings)
            .where(
                instance_mappings.c.instance_uuid == uuid,
                instance_mappings.c.cell_id == cell.mapping.id,
            )
            .values(instance_uuid=uuid)
        )
        if result.rowcount:
            changed.add(uuid)
    return Counter({MENDED: len(changed)})
