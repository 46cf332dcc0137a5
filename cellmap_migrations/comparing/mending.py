"""Correct the differences that a comparison finds, where that is safe."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import sqlalchemy as sa

from cellmap_migrations.bookkeeping.tables import MENDED
from cellmap_migrations.common.sentences import Unsettled
from cellmap_migrations.comparing.columns import COLUMNS, Columns, has_corrected
from cellmap_migrations.comparing.differences import (
    KINDS,
    Difference,
    Kind,
    as_difference,
    differing_pages,
    examine,
)
from cellmap_migrations.comparing.losses import Losses
from cellmap_migrations.comparing.orphans import (
    kept_by_repair,
    kept_by_upgrade,
    remove_orphans,
)
from cellmap_migrations.comparing.tally import Tally
from cellmap_migrations.copying.batches import first_batch_size, split_at_limit
from cellmap_migrations.copying.refused import commit_rows
from cellmap_migrations.databases.base import DATABASE_ERRORS
from cellmap_migrations.databases.codes import Fault
from cellmap_migrations.databases.database import message
from cellmap_migrations.nova.rules import WRITTEN
from cellmap_migrations.nova.tables import instance_mappings

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from datetime import datetime

    from cellmap_migrations.cell.cell import Cell
    from cellmap_migrations.comparing.chunks import Page
    from cellmap_migrations.copying.batches import Batches
    from cellmap_migrations.copying.plan import Plan
    from cellmap_migrations.nova.rules import Instance


# Kinds that are mended by writing or removing whole mappings.
MAPPINGS = frozenset({Kind.UNMAPPED, Kind.NO_CELL, Kind.WRONG_CELL, Kind.ORPHAN})

# The most comparisons. After one that mended rows or counted orphans comes another one,
# which finds fewer differences.
PASSES = 6

T = TypeVar("T")

# The mended and the refused differences of a batch.
Outcome = tuple[list[Difference], list[Difference]]

# Mends *uuids* in a batch, and fills the list *mended*. Besides, it is what ``Write``
# of a batch is.
Mend = Callable[..., Counter[str]]


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
        self.pace = first_batch_size(self.cell)
        names = [kind.value for kind in COLUMNS if kind in kinds]
        self.columns = Columns(cell=self.cell, plan=plan, names=names)
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
            for page in differing_pages(self.cell, self.plan, self.compared):
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

    def mend_page(self, page: Page) -> list[Difference]:
        """Mend the differences of a page, and return those that are left.

        Values are corrected at once, because the rows are read again under a lock. All
        other rows are examined first.
        """
        ids = {
            uuid: values.mapping_id
            for uuid, values in page.values.items()
            if has_corrected(values, self.compared, self.columns.names)
        }
        corrected, refused = self.commit(partial(self.columns.correct, ids=ids), ids)
        self.done.add(corrected)
        # If a corrected row differs in another column, the next comparison finds it.
        known = {each.uuid for each in (*corrected, *refused)}
        rest = [uuid for uuid in page.uuids if uuid not in known]
        return refused + (self.mend_examined(rest, ids) if rest else [])

    def mend_examined(
        self, uuids: Sequence[str], tried: Collection[str]
    ) -> list[Difference]:
        """Examine *uuids*, mend their differences, and return those that are left.

        The values of the mappings *tried* have just been read under a lock.
        """
        cell, compared = self.cell, self.compared
        cell.keep_alive()
        examined = cell.api.retry(partial(examine, cell, self.plan, uuids, compared))
        by_kind: dict[Kind, list[Difference]] = defaultdict(list)
        for difference in examined.differences(compared):
            by_kind[difference.kind].append(difference)
        left: list[Difference] = []
        for kind, differing in by_kind.items():
            if kind is Kind.ORPHAN and self.counting:
                self.losses.count([difference.uuid for difference in differing])
                rest: Sequence[Difference] = differing
            elif kind not in self.kinds:
                rest = differing
            elif kind in COLUMNS:
                new = [each for each in differing if each.uuid not in tried]
                ids = {each.uuid: examined.mappings[each.uuid].id for each in new}
                rest = self.mend(partial(self.columns.correct, ids=ids), differing, ids)
            else:
                rest = self.mend_mappings(kind, differing)
            left += rest
            still = {difference.uuid for difference in rest}
            self.done.add(each for each in differing if each.uuid not in still)
        return left

    def mend_mappings(
        self, kind: Kind, differing: Sequence[Difference]
    ) -> list[Difference]:
        """Insert, change and remove mappings; return the differences that are left."""
        if kind is Kind.ORPHAN:
            return self.remove(differing)
        wrong: list[Instance] = []
        misspelled: list[Difference] = []
        for difference in differing:
            assert difference.verdict is not None
            if difference.verdict.outcome in WRITTEN:
                wrong.append(difference.verdict.instance)
            else:
                misspelled.append(difference)
        left = misspelled
        if misspelled and self.include_foreign:
            uuids = [difference.uuid for difference in misspelled]
            left = self.mend(partial(respell, cell=self.cell), misspelled, uuids)
        for rows in self.parts(wrong):
            verdicts = commit_rows(self.batches, self.plan, rows, self.batches.upto_id)
            left += [as_difference(KINDS[v.outcome], v) for v in verdicts if v.why]
        return left

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
        return kept + self.mend(remove, gone, [each.uuid for each in gone])

    def mend(
        self, write: Mend, differing: Sequence[Difference], uuids: Collection[str]
    ) -> list[Difference]:
        """Let *write* mend *uuids*; return the *differing* that it left or refused."""
        mended, refused = self.commit(write, uuids)
        known = {each.uuid for each in (*mended, *refused)}
        return refused + [each for each in differing if each.uuid not in known]

    def commit(self, write: Mend, uuids: Collection[str]) -> Outcome:
        """Commit batches in which *write* mends; return the mended and the refused."""
        mended: list[Difference] = []
        refused: list[Difference] = []
        for some in self.parts([*uuids]):
            outcome = self.commit_batch(write, some)
            mended += outcome[0]
            refused += outcome[1]
        return mended, refused

    def parts(self, items: Sequence[T]) -> Iterator[Sequence[T]]:
        """Yield *items* in parts of a batch, and measure what the caller does with one.

        Pauses between two parts. Raises Stopped at a limit.
        """
        while items:
            size = self.pace.size
            for some in split_at_limit(self.cell, items[:size]):
                started = time.monotonic()
                yield some
                self.pace.learn(len(some), time.monotonic() - started)
            items = items[size:]
            if items:
                self.cell.throttle.pause()

    def commit_batch(self, write: Mend, uuids: Sequence[str]) -> Outcome:
        """Commit a batch in which *write* mends; return the mended and the refused.

        If the database refuses the rows, each half is committed by itself, until the
        bad row is alone.
        """
        mended: list[Difference] = []
        try:
            self.batches.commit_prepared(partial(write, uuids=uuids, mended=mended))
        except DATABASE_ERRORS as error:
            if self.cell.api.backend.fault(error) is not Fault.DATA:
                raise
            self.batches.committed()
            if len(uuids) == 1:
                return [], [replace(each, why=message(error)) for each in mended]
            middle = len(uuids) // 2
            first, second = (
                self.commit_batch(write, some)
                for some in (uuids[:middle], uuids[middle:])
            )
            return first[0] + second[0], first[1] + second[1]
        return mended, []


def respell(
    connection: sa.Connection,
    _stamp: datetime,
    *,
    cell: Cell,
    uuids: Sequence[str],
    mended: list[Difference],
) -> Counter[str]:
    """Change the uuids of mappings to the cell's spelling; return their count.

    Only mappings that the API database finds under that spelling already, because it
    ignores case. *mended* becomes the list of the changed ones.
    """
    mended.clear()
    for uuid in uuids:
        mended.append(Difference(kind=Kind.UNMAPPED, uuid=uuid))
        result = connection.execute(
            sa.update(instance_mappings)
            .where(
                instance_mappings.c.instance_uuid == uuid,
                instance_mappings.c.cell_id == cell.mapping.id,
            )
            .values(instance_uuid=uuid)
        )
        if not result.rowcount:
            mended.pop()
    return Counter({MENDED: len(mended)})
