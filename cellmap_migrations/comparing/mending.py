"""Mend what a comparison finds, as far as it is safe, and look again."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from cellmap_migrations.backends import DATABASE_ERRORS, Fault
from cellmap_migrations.comparing import columns, orphans
from cellmap_migrations.comparing.differences import (
    KINDS,
    Difference,
    Kind,
    differences,
    of_verdict,
)
from cellmap_migrations.comparing.losses import Losses
from cellmap_migrations.comparing.tally import Tally
from cellmap_migrations.copying.pace import allowed
from cellmap_migrations.copying.settle import settle
from cellmap_migrations.driver_errors import message
from cellmap_migrations.errors import Unsettled
from cellmap_migrations.outcomes import WRITTEN

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence

    from cellmap_migrations.copying.batches import Batches
    from cellmap_migrations.copying.plans import Plan

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
        raise Unsettled(str(self.cell.mapping), written)

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
                parts = allowed(self.cell, found)
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
                partial(columns.mend, cell=self.cell, plan=self.plan, name=kind.value),
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
            left += self.batch(spelled, partial(columns.respell, cell=self.cell))
        else:
            left += spelled
        if not wanted:
            return left
        rows = [each.verdict.instance for each in wanted if each.verdict]
        verdicts = settle(self.batches, self.plan, rows, self.batches.upto_id)
        left += [of_verdict(KINDS[v.outcome], v) for v in verdicts if v.why]
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
            self.batches.do(partial(work, uuids=uuids, changed=changed))
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
