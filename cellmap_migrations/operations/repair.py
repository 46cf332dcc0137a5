"""Mend all differences of a cell's mappings that can be decided about safely."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import sqlalchemy as sa

from cellmap_migrations.bookkeeping import tables
from cellmap_migrations.comparing.checksums import CREATED_AT
from cellmap_migrations.comparing.columns import COLUMNS
from cellmap_migrations.comparing.differences import COMPARED, Kind, differences
from cellmap_migrations.comparing.evidence import refuse_displaced
from cellmap_migrations.comparing.losses import Losses
from cellmap_migrations.comparing.mending import MAPPINGS, Mending
from cellmap_migrations.comparing.orphans import kept_by_repair
from cellmap_migrations.comparing.strays import Strays
from cellmap_migrations.comparing.tally import Tally
from cellmap_migrations.copying import write
from cellmap_migrations.copying.batches import Batches, limit_rows, split_at_limit
from cellmap_migrations.copying.plan import make_plan
from cellmap_migrations.copying.preflight import refuse_copy
from cellmap_migrations.nova.tables import MARKER, instance_mappings, utcnow
from cellmap_migrations.operations.proof import refuse_leftovers
from cellmap_migrations.operations.revisions import prepare

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellmap_migrations.cell.cell import Cell
    from cellmap_migrations.config.settings import Settings
    from cellmap_migrations.copying.plan import Plan
    from cellmap_migrations.databases.database import Database


# The revision of the journal under which a repair is recorded.
REPAIR = "repair"

# Only an operator can know which side is right.
DECIDED_BY_OPERATOR = (
    Kind.CONFLICT,
    Kind.REJECTED,
    Kind.PROJECT_ID,
    Kind.IN_FLIGHT,
    Kind.ONLY_HIDDEN,
)


def repair(cell: Cell, *, dry_run: bool) -> None:
    """Mend the differences that are safe to mend; report these and the others.

    With *dry_run* no row is written. Raises RowsLeft for differences about which an
    operator must decide, or Unasked.
    """
    columns = {**COMPARED, CREATED_AT: CREATED_AT}
    plan = make_plan(cell, columns)
    refuse_copy(cell, plan)
    refuse_displaced(cell, plan)
    kinds = MAPPINGS | {kind for kind in COLUMNS if kind.value in plan.columns}
    compared = [name for name in COMPARED if name in plan.columns]
    batches = None
    if dry_run:
        done, left = count_repairs(cell, plan, kinds, compared)
        markers = count_markers(cell.api, cell.settings)
    else:
        prepare(cell)
        batches = Batches(cell, REPAIR)
        mending = Mending(
            batches, plan, kinds=kinds, compared=compared, include_foreign=True
        )
        left = mending.mend_all()
        done = mending.done
        markers = remove_markers(batches)
    strays = Strays(cell, plan)
    for rows in strays.pages():
        if strays.obstacle():
            left.add(strays.differences(rows))
        else:
            for some in split_at_limit(cell, rows):
                done.add(strays.remove(some, batches))
    report_repairs(cell, done, left, markers, "would mend" if dry_run else "mended")
    refuse_leftovers(cell, left, DECIDED_BY_OPERATOR)


def count_repairs(
    cell: Cell, plan: Plan, kinds: frozenset[Kind], compared: Sequence[str]
) -> tuple[Tally, Tally]:
    """Return the differences that a repair would mend, and those it would leave.

    Raises InstancesMissing if the orphans are evidence of a wrong database.
    """
    done, left = Tally(), Tally()
    losses = Losses(cell, plan)
    for page in differences(cell, plan, compared):
        orphans = [each for each in page if each.kind is Kind.ORPHAN]
        losses.count([each.uuid for each in orphans])
        kept = kept_by_repair(cell, plan, orphans)
        keep = {each.uuid for each in kept}
        rest = [each for each in page if each.uuid not in keep]
        done.add(each for each in rest if each.kind in kinds)
        left.add(each for each in rest if each.kind not in kinds)
        left.add(kept)
    losses.refuse()
    return done, left


def report_repairs(
    cell: Cell, done: Tally, left: Tally, markers: int, verb: str
) -> None:
    """Report the differences that were mended, or would be, and those that are left."""
    cell.report.results.extend(f"{verb:<11}{line}" for line in done.lines())
    if markers:
        line = f"{'marker':<18}{markers:>9,}  of map_instances"
        cell.report.results.append(f"{verb:<11}{line}")
    cell.report.listing.extend(f"left       {line}" for line in left.listing())
    cell.report.details.update(
        mended_differences=done.as_dict(),
        left_differences=left.as_dict(),
        markers=markers,
    )


def stale_markers(settings: Settings) -> tuple[sa.ColumnElement[bool], ...]:
    """Return SQL that is true of nova's markers that are older than the grace."""
    before = utcnow() - timedelta(seconds=settings.grace_seconds)
    touched = sa.func.coalesce(
        instance_mappings.c.updated_at, instance_mappings.c.created_at
    )
    return (
        instance_mappings.c.project_id == MARKER,
        instance_mappings.c.cell_id.is_(None),
        sa.or_(touched.is_(None), touched < before),
    )


def count_markers(api: Database, settings: Settings) -> int:
    """Return the number of nova's stale markers."""
    count = sa.select(sa.func.count()).select_from(instance_mappings)
    return int(api.read(count.where(*stale_markers(settings)))[0][0])


def remove_markers(batches: Batches) -> int:
    """Delete nova's stale markers, and return their number."""
    settings = batches.cell.settings
    markers = count_markers(batches.cell.api, settings)
    if not markers:
        return 0
    limit_rows(batches.cell, markers)
    stale = stale_markers(settings)
    return batches.commit_prepared(partial(write.remove, where=stale))[tables.REMOVED]
