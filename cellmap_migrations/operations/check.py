"""Report the differences between a cell and its mappings, and change nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellmap_migrations.common.errors import Unasked
from cellmap_migrations.common.sentences import DifferencesDoubted, DifferencesFound
from cellmap_migrations.comparing.checksums import CREATED_AT
from cellmap_migrations.comparing.differences import (
    COMPARED,
    INFORMATION,
    Kind,
    differences,
)
from cellmap_migrations.comparing.evidence import gather
from cellmap_migrations.comparing.losses import Losses
from cellmap_migrations.comparing.orphans import kept_for_others
from cellmap_migrations.comparing.strays import Strays
from cellmap_migrations.comparing.tally import Tally
from cellmap_migrations.copying import preflight
from cellmap_migrations.copying.plan import make_plan

if TYPE_CHECKING:
    from cellmap_migrations.cell.cell import Cell
    from cellmap_migrations.comparing.evidence import Displaced


# The kinds whose examples are listed with both values.
LISTED = (Kind.PROJECT_ID, Kind.USER_ID, Kind.CREATED_AT)


def compare(cell: Cell, tally: Tally) -> list[Displaced]:
    """Add all differences between the cell and its mappings to *tally*.

    The data is compared, whether the cell was ever upgraded or not. SELECT is the only
    right that this needs. Returns the evidence that the address of the cell is wrong.
    Raises TopLevelCell for a database that must not be a cell, and TopLevelDoubt.
    """
    columns = {**COMPARED, CREATED_AT: CREATED_AT}
    plan = make_plan(cell, columns)
    preflight.refuse_top_level(cell)
    doubts = gather(cell, plan)
    losses = Losses(cell, plan)
    for page in differences(cell, plan, list(plan.columns)):
        orphans = [each for each in page if each.kind is Kind.ORPHAN]
        losses.count([each.uuid for each in orphans])
        kept = {each.uuid: each for each in kept_for_others(cell, orphans)}
        tally.add(kept.get(each.uuid, each) for each in page)
    strays = Strays(cell, plan)
    for rows in strays.pages():
        tally.add(strays.differences(rows))
    if not doubts and (evidence := losses.evidence()):
        doubts = [evidence]
    return doubts


def check(cell: Cell) -> None:
    """Report all differences between the cell and its mappings.

    Raises DifferencesFound, or Unasked if all differences are instances that are mapped
    to a cell that is down. Also raises the errors of ``compare``.
    """
    tally = Tally()
    doubts = compare(cell, tally)
    none = [f"cell {cell.mapping}: no differences"]
    cell.report.results.extend(f"doubtful          {doubt}" for doubt in doubts)
    cell.report.results.extend(tally.lines() or none)
    cell.report.listing.extend(tally.listing(LISTED))
    cell.report.details.update(
        differences=tally.as_dict(), doubts=list(map(str, doubts))
    )
    if tally.total(*INFORMATION, Kind.UNRESOLVED):
        raise (DifferencesDoubted if doubts else DifferencesFound)(
            cell=cell.mapping, counts=tally
        )
    if count := tally.counts[Kind.UNRESOLVED]:
        raise Unasked(str(cell.mapping), count, ", ".join(cell.others.silent()))
