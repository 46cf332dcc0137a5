"""Mend everything about a cell's mappings that can be decided safely."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import sqlalchemy as sa

from cellmap_migrations.bookkeeping import tables
from cellmap_migrations.comparing.checksums import CREATED_AT
from cellmap_migrations.comparing.differences import COMPARED, Kind, Tally, differences
from cellmap_migrations.comparing.evidence import Losses, refuse_displaced
from cellmap_migrations.comparing.mending import COLUMNS, MAPPINGS, Mending
from cellmap_migrations.comparing.orphans import must_stay
from cellmap_migrations.comparing.strays import Strays
from cellmap_migrations.copying import write
from cellmap_migrations.copying.batches import Batches, limit_rows, split_at_limit
from cellmap_migrations.copying.plan import make_plan
from cellmap_migrations.copying.preflight import refuse_copy
from cellmap_migrations.nova.tables import MARKER, instance_mappings, utcnow
from cellmap_migrations.operations.proof import refuse
from cellmap_migrations.operations.revisions import prepare

if TYPE_CHECKING:
    from cellmap_migrations.cell.cell import Cell
    from cellmap_migrations.config.settings import Settings
    from cellmap_migrations.databases.database import Database


REPAIR = "repair"

# Never from here: nobody but an operator knows which side is right.
DECIDED_BY_OPERATOR = (
    Kind.CONFLICT,
    Kind.REJECTED,
    Kind.PROJECT_ID,
    Kind.IN_FLIGHT,
    Kind.ONLY_HIDDEN,
)


def repair(cell: Cell, *, dry_run: bool) -> None:
    """Mend what is safe to mend, and say what was changed and what was left, and why.

    With *dry_run* only say it; nothing at all is written. Raises RowsLeft for what an
    operator has to decide, or Unasked.
    """
    columns = {**COMPARED, CREATED_AT: CREATED_AT}
    plan = make_plan(cell, columns)
    refuse_copy(cell, plan)
    refuse_displaced(cell, plan)
    kinds = MAPPINGS | {kind for kind in COLUMNS if kind.value in plan.columns}
    compared = [name for name in COMPARED if name in plan.columns]
    batches = None
    if dry_run:
        done, left = Tally(), Tally()
        losses = Losses(cell, plan)
        for page in differences(cell, plan, compared):
            orphans = [each for each in page if each.kind is Kind.ORPHAN]
            losses.count([each.uuid for each in orphans])
            kept = must_stay(cell, orphans)
            keep = {each.uuid for each in kept}
            rest = [each for each in page if each.uuid not in keep]
            done.add(each for each in rest if each.kind in kinds)
            left.add(each for each in rest if each.kind not in kinds)
            left.add(kept)
        losses.refuse()
        markers = count_markers(cell.api, cell.settings)
    else:
        prepare(cell)
        batches = Batches(cell, REPAIR)
        mending = Mending(batches, plan, kinds=kinds, compared=compared, strangers=True)
        left = mending.run()
        done = mending.done
        markers = remove_markers(batches)
    strays = Strays(cell, plan)
    for rows in strays.pages():
        if strays.obstacle():
            left.add(strays.differences(rows))
        else:
            for some in split_at_limit(cell, rows):
                done.add(strays.remove(some, batches))
    tell(cell, done, left, markers, verb="would mend" if dry_run else "mended")
    refuse(cell, left, DECIDED_BY_OPERATOR)


def tell(cell: Cell, done: Tally, left: Tally, markers: int, verb: str) -> None:
    """Put what was done and what was left into the report."""
    results = [f"{verb:<11}{line}" for line in done.lines()]
    if markers:
        results.append(f"{verb:<11}{'marker':<18}{markers:>9,}  of map_instances")
    cell.report.results += results
    cell.report.listing += [f"left       {line}" for line in left.listing()]
    cell.report.details |= {
        "mended_differences": done.as_dict(),
        "left_differences": left.as_dict(),
        "markers": markers,
    }


def stale_markers(settings: Settings) -> tuple[sa.ColumnElement[bool], ...]:
    """Return SQL that is true of nova's markers that no run is using."""
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
    """Return how many of nova's markers there are that no run is using."""
    count = sa.select(sa.func.count()).select_from(instance_mappings)
    return int(api.read(count.where(*stale_markers(settings)))[0][0])


def remove_markers(batches: Batches) -> int:
    """Delete nova's stale markers, and return how many there were."""
    settings = batches.cell.settings
    found = count_markers(batches.cell.api, settings)
    if not found:
        return 0
    limit_rows(batches.cell, found)
    stale = stale_markers(settings)
    return batches.commit_prepared(partial(write.remove, where=stale))[tables.REMOVED]
