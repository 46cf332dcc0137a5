"""Compare a cell with its mappings, and change nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellmap_migrations.common.errors import Unasked
from cellmap_migrations.common.sentences import DifferencesDoubted, DifferencesFound
from cellmap_migrations.comparing.checksums import CREATED_AT
from cellmap_migrations.comparing.differences import (
    COMPARED,
    INFORMATION,
    Kind,
    Tally,
    differences,
)
from cellmap_migrations.comparing.evidence import Losses, gather
from cellmap_migrations.comparing.orphans import elsewhere
from cellmap_migrations.comparing.strays import Strays
from cellmap_migrations.copying import preflight
from cellmap_migrations.copying.plan import make_plan

if TYPE_CHECKING:
    from cellmap_migrations.cell.cell import Cell


# Kinds of which each example is listed with both values.
LISTED = (Kind.PROJECT_ID, Kind.USER_ID, Kind.CREATED_AT)


def check(cell: Cell) -> None:
    """Report every way in which the mappings differ from the cell.

    From the data, not from the stamp: the cell may never have been upgraded. Needs
    nothing but SELECT. Raises DifferencesFound, or Unasked if the only doubt is about
    instances that are mapped to a cell that is down. Raises TopLevelCell for a
    database that must not be a cell, and TopLevelDoubt.
    """
    columns = {**COMPARED, CREATED_AT: CREATED_AT}
    plan = make_plan(cell, columns)
    preflight.refuse_top_level(cell)
    doubts = gather(cell, plan)
    tally, losses = Tally(), Losses(cell, plan)
    for page in differences(cell, plan, list(plan.columns)):
        orphans = [each for each in page if each.kind is Kind.ORPHAN]
        losses.count([each.uuid for each in orphans])
        known = {each.uuid: each for each in elsewhere(cell, orphans)}
        tally.add(known.get(each.uuid, each) for each in page)
    strays = Strays(cell, plan)
    for rows in strays.pages():
        tally.add(strays.differences(rows))
    if not doubts and (found := losses.found()):
        doubts = [found]
    cell.report.results += [f"doubtful          {doubt}" for doubt in doubts]
    cell.report.results += tally.lines() or [f"cell {cell.mapping}: no differences"]
    cell.report.listing += tally.listing(LISTED)
    cell.report.details["differences"] = tally.as_dict()
    cell.report.details["doubts"] = list(map(str, doubts))
    if tally.total(*INFORMATION, Kind.UNRESOLVED):
        raise (DifferencesDoubted if doubts else DifferencesFound)(
            cell=cell.mapping, counts=tally
        )
    if count := tally.counts[Kind.UNRESOLVED]:
        raise Unasked(str(cell.mapping), count, ", ".join(cell.others.silent()))
