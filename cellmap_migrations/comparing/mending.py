"""Correct the differences that a comparison finds, where that is safe."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations.bookkeeping.tables import MENDED
from cellmap_migrations.common.sentences import Unsettled
from cellmap_migrations.comparing import orphans
from cellmap_migrations.comparing.differences import (
    KINDS,
    Difference,
    Kind,
    Tally,
    as_difference,
    differences,
    exact,
    in_columns,
)
from cellmap_migrations.comparing.evidence import Losses
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


def mend(
    connection: sa.Connection,
    _stamp: datetime,
    *,
    cell: Cell,
    plan: Plan,
    name: str,
    uuids: Sequence[str],
    changed: set[str],
) -> Counter[str]:
    """Set the column *name* to what the cell says, and count the rows.

    The mappings are locked first and the cell is read afterwards: nova changes a
    restored instance before it clears the flag of its mapping, so under the lock
    either the change is seen here or nova's own write comes after ours.

    ``queued_for_delete`` is never turned from true to false: nova sets it before it
    deletes. A NULL in the cell overwrites nothing.
    """
    connection.execute(
        sa.select(instance_mappings.c.id)
        .where(instance_mappings.c.instance_uuid.in_(uuids))
        .with_for_update()
    )
    mappings = exact(connection, uuids, [name])
    rows = read.by_uuids_soon(cell.database, plan, uuids)
    changed.clear()
    for (old, new), some in changes(cell, rows, mappings, name).items():
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


def changes(
    cell: Cell, rows: Sequence[Instance], mappings: dict[str, Any], name: str
) -> dict[tuple[Any, Any], list[str]]:
    """Return the uuids to change, by the value they have and the one to be set."""
    wanted: dict[tuple[Any, Any], list[str]] = defaultdict(list)
    for row in rows:
        mapping = mappings.get(row.uuid)
        if mapping is None or mapping.cell_id != cell.mapping.id or row.hidden:
            continue
        verdict = Verdict(instance=row, outcome=Outcome.ALREADY)
        kinds = {each.kind for each in in_columns(verdict, mapping, [name])}
        if Kind(name) in kinds and row.values[name] is not None:
            wanted[getattr(mapping, name), row.values[name]].append(row.uuid)
    return wanted


def respell(
    connection: sa.Connection,
    _stamp: datetime,
    *,
    cell: Cell,
    uuids: Sequence[str],
    changed: set[str],
) -> Counter[str]:
    """Spell the uuids of mappings as the cell does, where the API finds them anyway."""
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


# A pass that mends anything, or has counted orphans, is followed by another one, which
# finds less.
PASSES = 6

MAPPINGS = frozenset({Kind.UNMAPPED, Kind.NO_CELL, Kind.WRONG_CELL, Kind.ORPHAN})

COLUMNS = (Kind.QUEUED_FOR_DELETE, Kind.USER_ID)


class Mending:
    """Mends some *kinds* of differences, in the *compared* columns."""

    def __init__(
        self,
        batches: Batches,
        plan: Plan,
        *,
        kinds: frozenset[Kind],
        compared: Sequence[str] = (),
        strangers: bool = False,
    ) -> None:
        """With *strangers* also mappings that this package did not make are mended."""
        self.batches, self.cell, self.plan = batches, batches.cell, plan
        self.kinds, self.compared, self.strangers = kinds, compared, strangers
        self.done = Tally()
        # Orphans are removed only after a pass has counted them.
        self.losses, self.counting = Losses(self.cell, plan), True

    def run(self) -> Tally:
        """Mend until a comparison finds nothing to mend; return what that one finds.

        Raises InstancesMissing if the orphans tell that the database is a wrong one,
        or Unsettled if the cloud changes faster than that.
        """
        written = 0
        for _ in range(PASSES):
            left, before = Tally(), self.done.total()
            for page in differences(self.cell, self.plan, self.compared):
                left.add(self.page(page))
                self.cell.throttle.pause()
            written = self.done.total() - before
            held = self.counting and Kind.ORPHAN in self.kinds
            if self.counting:
                self.losses.refuse()
                self.counting = False
            if not written and not (held and left.counts[Kind.ORPHAN]):
                return left
        raise Unsettled(cell=self.cell.mapping, count=written)

    def page(self, page: Sequence[Difference]) -> list[Difference]:
        """Mend what may be mended of a page, and return what is left of it."""
        by_kind: dict[Kind, list[Difference]] = defaultdict(list)
        for difference in page:
            by_kind[difference.kind].append(difference)
        left: list[Difference] = []
        for kind, found in by_kind.items():
            if kind is Kind.ORPHAN and self.counting:
                self.losses.count([difference.uuid for difference in found])
                rest: Sequence[Difference] = found
            elif kind in self.kinds:
                parts = split_at_limit(self.cell, found)
                rest = [each for part in parts for each in self.mend(kind, part)]
            else:
                rest = found
            left += rest
            still = {difference.uuid for difference in rest}
            self.done.add(each for each in found if each.uuid not in still)
        return left

    def mend(self, kind: Kind, found: Sequence[Difference]) -> Sequence[Difference]:
        """Mend differences of one kind, and return those that are left."""
        if kind is Kind.ORPHAN:
            if self.strangers:
                kept = orphans.must_stay(self.cell, found)
            else:
                kept = orphans.kept(self.cell, self.plan, found)
            keep = {difference.uuid for difference in kept}
            gone = [difference for difference in found if difference.uuid not in keep]
            self.losses.remove(len(gone))
            work = partial(
                orphans.remove,
                cell=self.cell,
                plan=self.plan,
                strangers=self.strangers,
            )
            return kept + self.batch(gone, work)
        if kind in COLUMNS:
            return self.batch(
                found,
                partial(mend, cell=self.cell, plan=self.plan, name=kind.value),
            )
        return self.settle(found)

    def settle(self, found: Sequence[Difference]) -> list[Difference]:
        """Insert, fill and move as a walk does."""
        wanted: list[Difference] = []
        spelled: list[Difference] = []
        for difference in found:
            assert difference.verdict is not None
            wrong = difference.verdict.outcome in WRITTEN
            (wanted if wrong else spelled).append(difference)
        left: list[Difference] = []
        if spelled and self.strangers:
            left += self.batch(spelled, partial(respell, cell=self.cell))
        else:
            left += spelled
        if not wanted:
            return left
        rows = [each.verdict.instance for each in wanted if each.verdict]
        verdicts = commit_rows(self.batches, self.plan, rows, self.batches.upto_id)
        left += [as_difference(KINDS[v.outcome], v) for v in verdicts if v.why]
        return left

    def batch(
        self, found: Sequence[Difference], work: partial[Counter[str]]
    ) -> list[Difference]:
        """Do *work* on the uuids, and return the differences that it left.

        What the database refuses is halved until the bad row is alone.
        """
        changed: set[str] = set()
        uuids = [difference.uuid for difference in found]
        if not uuids:
            return []
        try:
            self.batches.commit_prepared(partial(work, uuids=uuids, changed=changed))
        except DATABASE_ERRORS as error:
            if self.cell.api.backend.fault(error) is not Fault.DATA:
                raise
            self.batches.committed()
            if len(found) == 1:
                return [replace(found[0], why=message(error))]
            middle = len(found) // 2
            left = self.batch(found[:middle], work)
            return left + self.batch(found[middle:], work)
        return [difference for difference in found if difference.uuid not in changed]
