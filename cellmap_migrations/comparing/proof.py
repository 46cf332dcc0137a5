"""Prove that a revision keeps its promise, before Alembic may stamp it."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from cellmap_migrations.comparing import orphans
from cellmap_migrations.comparing.chunks import differing
from cellmap_migrations.comparing.sides import sides
from cellmap_migrations.copying import read
from cellmap_migrations.copying.judge import SECOND_LOOK, judge
from cellmap_migrations.errors import RowsLeft, Unasked, Unsettled
from cellmap_migrations.outcomes import LEFT, WRITTEN, Outcome, Verdict
from cellmap_migrations.progress import say
from cellmap_migrations.reporting import EXAMPLES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellmap_migrations.cell import Cell
    from cellmap_migrations.copying.batches import Batches
    from cellmap_migrations.copying.plan import Plan

# A pass that mends anything is followed by another one, which has less to do.
PASSES = 5


def prove_mapped(cell: Cell, plan: Plan, batches: Batches) -> None:
    """Compare until nothing is left to map, then raise unless nothing is left over.

    Rows committed late behind the walk, or mended since they were rejected, are
    mapped now. Mappings that this package inserted for instances that were archived
    meanwhile are removed; others without an instance are only counted.

    Raises RowsLeft, Unasked or Unsettled.
    """
    for _ in range(PASSES):
        written, left, strangers = compare(cell, plan, batches)
        if not written:
            break
    else:
        raise Unsettled(str(cell.mapping), written)
    left.conclude(cell)
    if strangers:
        say(
            f"cell {cell.mapping}: {strangers:,} mappings have no instance here, and "
            "were not made by this package; cellmap repair removes them"
        )


class Left:
    """What cannot be mapped now: counts, and a few examples of each outcome."""

    def __init__(self) -> None:
        self.counts: Counter[Outcome] = Counter()
        self.examples: list[Verdict] = []

    def add(self, verdicts: Sequence[Verdict]) -> None:
        """Take in what was found left on one page."""
        for verdict in verdicts:
            self.counts[verdict.outcome] += 1
            if self.counts[verdict.outcome] <= EXAMPLES:
                self.examples.append(verdict)

    def conclude(self, cell: Cell) -> None:
        """Tell the report; raise RowsLeft or Unasked if anything stops the stamp."""
        cell.report.leave(self.counts, self.examples)
        name = str(cell.mapping)
        stopping = [Outcome.CONFLICT]
        if cell.settings.on_reject == "fail":
            stopping.append(Outcome.REJECTED)
        if any(self.counts[outcome] for outcome in stopping):
            counts = (f"{n:,} {o.value}" for o, n in self.counts.items() if n)
            raise RowsLeft(name, ", ".join(counts))
        if count := self.counts[Outcome.UNRESOLVED]:
            others = {
                str(cell.cells[number])
                for number, database in cell.others.opened.items()
                if database is None
            }
            raise Unasked(name, count, ", ".join(sorted(others)))


def compare(cell: Cell, plan: Plan, batches: Batches) -> tuple[int, Left, int]:
    """Go once through all differences, and settle each.

    Returns how many rows were written, what is left, and how many mappings without
    an instance are not ours.
    """
    ours, theirs = sides(
        cell=cell.source, api=cell.api, cell_id=cell.mapping.id, plan=plan, compared=()
    )
    written, strangers, left = 0, 0, Left()
    for uuids in differing(
        ours, theirs, stopping=cell.stopping, look_again=SECOND_LOOK
    ):
        here = set(uuids)
        rows = [
            row for row in read.by_uuids(cell.source, plan, uuids) if row.uuid in here
        ]
        verdicts = cell.api.again(partial(judge, cell, plan, rows))
        wanted = [v.instance for v in verdicts if v.outcome in WRITTEN]
        settled = batches.settle(wanted, batches.upto_id) if wanted else []
        written += sum(verdict.outcome in WRITTEN for verdict in settled)
        left.add([v for v in (*verdicts, *settled) if v.outcome in LEFT])
        gone = here - {row.uuid for row in rows}
        removed, others = orphans.remove_ours(cell, plan.revision, sorted(gone))
        written += removed
        strangers += others
    return written, left, strangers
