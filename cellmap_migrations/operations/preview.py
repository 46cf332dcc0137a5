"""Count the changes that an upgrade would make, from one comparison; write nothing."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import sqlalchemy as sa

from cellmap_migrations.bookkeeping.tables import MENDED
from cellmap_migrations.common.errors import Stopped
from cellmap_migrations.comparing.checksums import instances_side, ranges
from cellmap_migrations.comparing.differences import (
    COMPARED,
    KINDS,
    Kind,
    as_difference,
    column_differences,
    examined_pages,
)
from cellmap_migrations.comparing.losses import Losses
from cellmap_migrations.comparing.tally import Tally
from cellmap_migrations.nova.rules import WRITTEN, Outcome
from cellmap_migrations.nova.tables import PLACEHOLDER, instances
from cellmap_migrations.operations import proof

if TYPE_CHECKING:
    from collections.abc import Collection

    from cellmap_migrations.cell.cell import Cell
    from cellmap_migrations.comparing.differences import Examined
    from cellmap_migrations.copying.plan import Plan

# Instances with these outcomes need no change. ``count_instances`` has counted them.
UNCHANGED = (Outcome.ALREADY, Outcome.HIDDEN, Outcome.PLACEHOLDER)

# Outcomes of instances that had a mapping before and have one to this cell after 0001.
KEPT = (Outcome.ALREADY, Outcome.FILLED, Outcome.MOVED)


def count_outcomes(cell: Cell, plan: Plan) -> None:
    """Count the outcome that each instance would have in an upgrade from the start.

    A row that only the database would refuse is not counted as rejected. With
    ``max_rows`` all rows are counted, and Stopped is raised if an upgrade would stop.
    Also raises the errors that would block the stamp: RowsLeft, Unasked or
    InstancesMissing.
    """
    cell.stopping.check_limits()
    counts = count_instances(cell, plan)
    left, losses = Tally(), Losses(cell, plan)
    compared = [name for name in COMPARED if name in plan.columns]
    cell.wrong_values.update(dict.fromkeys(compared, 0))
    for page in examined_pages(cell, plan, compared):
        cell.stopping.check_limits()
        differing = [each for each in page.verdicts if each.outcome not in UNCHANGED]
        counts.update(each.outcome for each in differing)
        counts[Outcome.ALREADY] -= len(differing)
        left.add(
            as_difference(KINDS[each.outcome], each)
            for each in page.verdicts
            if each.why
        )
        losses.count(page.orphans)
        for column in compared:
            cell.wrong_values[column] += wrong_values(page, column, KEPT)
    cell.report.count(Counter({each.value: n for each, n in counts.items()}))
    losses.refuse(sum(counts[each] for each in WRITTEN))
    limit = cell.settings.max_rows
    if limit is not None and counts.total() > limit:
        raise Stopped(f"{limit} rows done (max_rows)")
    proof.conclude(cell, left)


def count_instances(cell: Cell, plan: Plan) -> Counter[Outcome]:
    """Count placeholders and hidden instances; count all others as ALREADY mapped."""
    counts: Counter[Outcome] = Counter()
    placeholder = instances.c.uuid == PLACEHOLDER
    hidden = sa.func.coalesce(plan.hidden, sa.false())
    outcome = sa.case(
        (placeholder, Outcome.PLACEHOLDER.value),
        (hidden, Outcome.HIDDEN.value),
        else_=Outcome.ALREADY.value,
    )
    select = sa.select(outcome, sa.func.count()).group_by(outcome)
    for after_id, upto_id in ranges(instances_side(cell, plan), cell.stopping):
        some = select.where(instances.c.id > after_id, instances.c.id <= upto_id)
        for name, count in cell.database.read(some):
            counts[Outcome(name)] += count
    return counts


def count_wrong_values(cell: Cell, plan: Plan, column: str) -> None:
    """Count the mappings in which *column* would be corrected.

    Without ``count_outcomes`` in this run, no mapping is filled or moved first.
    """
    if column not in cell.wrong_values:
        losses = Losses(cell, plan)
        for page in examined_pages(cell, plan, [column]):
            cell.stopping.check_limits()
            losses.count(page.orphans)
            cell.wrong_values[column] += wrong_values(page, column, [Outcome.ALREADY])
        losses.refuse()
    cell.report.count(Counter({MENDED: cell.wrong_values[column]}))


def wrong_values(page: Examined, column: str, outcomes: Collection[Outcome]) -> int:
    """Return the number of mappings whose *column* differs from the cell.

    Only instances with one of *outcomes* count, and only if the cell's value is not
    NULL. The flag of a moved mapping does not count: it is set together with its cell.
    """
    count = 0
    for verdict in page.verdicts:
        existing = page.mappings.get(verdict.instance.uuid)
        moved = verdict.outcome is Outcome.MOVED
        if (
            existing is None
            or verdict.outcome not in outcomes
            or (moved and column == Kind.QUEUED_FOR_DELETE.value)
        ):
            continue
        kinds = [each.kind for each in column_differences(verdict, existing, [column])]
        if Kind(column) in kinds and verdict.instance.values[column] is not None:
            count += 1
    return count
