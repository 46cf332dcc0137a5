"""A dry run: the verbs of version scripts look and count, and write nothing at all."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import sqlalchemy as sa

from cellmap_migrations.bookkeeping.tables import MENDED
from cellmap_migrations.cell.cell import Cell
from cellmap_migrations.common.errors import Stopped
from cellmap_migrations.comparing import evidence
from cellmap_migrations.comparing.checksums import mappings_side
from cellmap_migrations.comparing.differences import (
    KINDS,
    Kind,
    Tally,
    as_difference,
    differences,
    exact,
    in_columns,
)
from cellmap_migrations.comparing.evidence import Losses
from cellmap_migrations.comparing.mending import COLUMNS
from cellmap_migrations.copying import read
from cellmap_migrations.copying.decide import decide_rows
from cellmap_migrations.copying.plan import ColumnSource, make_plan, refuse_copy
from cellmap_migrations.copying.write import UUIDS
from cellmap_migrations.nova.rules import WRITTEN, Outcome
from cellmap_migrations.operations import proof

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from cellmap_migrations.comparing.differences import Difference
    from cellmap_migrations.copying.plan import Plan
    from cellmap_migrations.nova.rules import Instance, Verdict


# With these an instance has, after an upgrade, a mapping that was there before.
KEPT = (Outcome.ALREADY, Outcome.FILLED, Outcome.MOVED)


class DryRun(Cell):
    """A cell to which revisions seem to be applied. SELECT is all that it needs.

    It walks from the start, whatever was committed, and so sees what the comparison
    of an upgrade would see. A row that only the database would refuse is not foreseen.
    """

    def __init__(self, cell: Cell) -> None:
        """Look at *cell*, and count into its report."""
        super().__init__(
            cell.mapping,
            api=cell.api,
            cells=list(cell.cells.values()),
            settings=cell.settings,
            stopping=cell.stopping,
            report=cell.report,
            identities=cell.identities,
        )
        # How many mappings have a wrong value, by column, if the walk has seen them.
        self.wrong: Counter[str] | None = None

    def map_instances(
        self,
        revision: str,  # noqa: ARG002 - nothing is recorded of it
        columns: Mapping[str, ColumnSource],
    ) -> None:
        """Count what would become of every instance.

        Raises what would keep the revision from being stamped: RowsLeft, Unasked,
        InstancesMissing or Stopped, among others.
        """
        plan = make_plan(columns, api=self.api, cell=self.source)
        refuse_copy(self, plan)
        evidence.refuse_displaced(self, plan)
        left, self.wrong = Tally(), Counter()
        bound = read.highest_id(self.source)
        with self.progress.walking(0, bound, "looking at") as reached:
            for rows, upto_id in self.pages(plan, bound):
                verdicts = self.api.again(partial(decide_rows, self, plan, rows))
                self.report.count(Counter(each.outcome.value for each in verdicts))
                left.add(
                    as_difference(KINDS[verdict.outcome], verdict)
                    for verdict in verdicts
                    if verdict.why
                )
                self.wrong += self.wrong_values(plan, verdicts)
                reached(len(rows), upto_id)
        losses = Losses(self, plan)
        for uuids in evidence.pages(self, mappings_side(self, self.mapping.id)):
            losses.count(uuids)
        losses.refuse(sum(self.report.counts[each.value] for each in WRITTEN))
        proof.conclude(self, left)

    def reconcile(
        self, revision: str, column: str, source: ColumnSource, *, before: str
    ) -> None:
        """Count the mappings in which *column* would be corrected.

        Raises SchemaTooOld, or InstancesMissing among others.
        """
        plan = self.plan_column(revision, column, source, before=before)
        if self.wrong is None:
            refuse_copy(self, plan)
            evidence.refuse_displaced(self, plan)
            found, losses = Counter[str](), Losses(self, plan)
            for page in differences(self, plan, [column]):
                losses.count([each.uuid for each in page if each.kind is Kind.ORPHAN])
                found += mendable(page, [column])
            losses.refuse()
        else:
            found = self.wrong
        self.report.count(Counter({MENDED: found[column]}))

    def pages(self, plan: Plan, bound: int) -> Iterator[tuple[list[Instance], int]]:
        """Yield instances by id up to *bound*, and the id that each page reaches.

        Raises Stopped at a signal or a limit, as a walk does.
        """
        after_id, limit = 0, self.settings.max_rows
        while after_id < bound:
            self.stopping.check_limits()
            left = UUIDS if limit is None else limit - self.report.rows
            if left <= 0:
                raise Stopped(f"{limit} rows done (max_rows)")
            size = min(UUIDS, left)
            upto_id = read.nth_id(self.source, after_id, bound=bound, rows=size)
            upto_id = upto_id or bound
            yield (
                read.between(self.source, plan, after_id, upto_id, sa.true()),
                upto_id,
            )
            after_id = upto_id

    def wrong_values(self, plan: Plan, verdicts: Sequence[Verdict]) -> Counter[str]:
        """Count, by column, the values that the revisions behind this one correct."""
        names = [kind.value for kind in COLUMNS if kind.value in plan.columns]
        kept = {each.instance.uuid: each for each in verdicts if each.outcome in KEPT}

        def look() -> Counter[str]:
            with self.api.reading() as connection:
                mappings = exact(connection, list(kept), names)
            found: Counter[str] = Counter()
            for uuid in mappings.keys() & kept.keys():
                some = without_moved(kept[uuid], names)
                found += mendable(in_columns(kept[uuid], mappings[uuid], some), some)
            return found

        return self.api.again(look) if names and kept else Counter()


def without_moved(verdict: Verdict, names: Sequence[str]) -> list[str]:
    """Return *names* without the flag, if that is given with the cell."""
    given = Kind.QUEUED_FOR_DELETE.value if verdict.outcome is Outcome.MOVED else ""
    return [name for name in names if name != given]


def mendable(found: Iterable[Difference], names: Sequence[str]) -> Counter[str]:
    """Count, by column, what is wrong and known to the cell. NULL corrects nothing."""
    return Counter(
        difference.kind.value
        for difference in found
        if difference.kind.value in names
        and difference.verdict is not None
        and difference.verdict.instance.values[difference.kind.value] is not None
    )
