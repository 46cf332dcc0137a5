"""The check of one cell: does it answer, is it at head, does it compare equal."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from oslo_upgradecheck.upgradecheck import Code, Result

from cellmap_migrations.bookkeeping import version
from cellmap_migrations.comparing import sample
from cellmap_migrations.comparing.differences import COMPARED, Kind, differences
from cellmap_migrations.comparing.tally import Tally
from cellmap_migrations.copying import plans, top_level
from cellmap_migrations.errors import ConfigurationError, TopLevelCell
from cellmap_migrations.upgradecheck.results import result, safely

if TYPE_CHECKING:
    from cellmap_migrations.cell import Cell

# Instances with such a difference answer 404. The others are found, and are counted
# or listed wrongly.
LOST = (
    Kind.UNMAPPED,
    Kind.NO_CELL,
    Kind.WRONG_CELL,
    Kind.CONFLICT,
    Kind.REJECTED,
    Kind.IN_FLIGHT,
)


def problem(cell: Cell) -> Exception | None:
    """Open the database of *cell*, and return what keeps it from being read."""
    try:
        # The property itself would open one cell after another: up to Python 3.11 all
        # objects share its lock.
        cell.source = cell.open()
    # Cells are opened in threads; each problem is for the row of its own cell.
    except Exception as error:  # noqa: BLE001
        return error
    return None


def compared(cell: Cell, problem: Exception | None, *, full: bool) -> Result:
    """Check one cell: every row of it if *full*, or else a sample.

    *problem* is what keeps it from being read.
    """
    wrong = False

    def compare() -> Result:
        nonlocal wrong
        try:
            if problem:
                raise problem
            return equal(cell, full=full)
        except (ConfigurationError, TopLevelCell):
            wrong = True
            raise

    found = safely(compare, cell.api)
    # An upgrade would be refused for the same reason.
    return together(at_head(cell, hint=not wrong), found)


def together(*results: Result) -> Result:
    """Return several results as one."""
    return result(
        *(each.details or "" for each in results),
        code=max(each.code for each in results),
    )


def at_head(cell: Cell, *, hint: bool) -> Result:
    """Fail if the cell is not at the last revision: nothing is proved of it.

    With a *hint* at the command that brings it there.
    """
    found = ", ".join(version.stamped(cell.api, cell.mapping.uuid))
    head = version.head()
    if found == head:
        return result(f"at revision {head}")
    at = f"revision {found}" if found else "no revision"
    command = f": run cellmap upgrade --cell {selector(cell)}" if hint else ""
    return result(f"at {at}, and the last one is {head}{command}", code=Code.FAILURE)


def equal(cell: Cell, *, full: bool) -> Result:
    """Compare the cell with its mappings."""
    plan = plans.make(COMPARED, api=cell.api, cell=cell.source)
    top_level.refuse_top_level(cell)
    tally = Tally()
    if full:
        looked_at = "all instances and mappings"
        pages = differences(cell, plan, list(plan.columns))
    else:
        drawn = sample.draw(cell, plan)
        looked_at = str(drawn)
        pages = sample.differences(cell, plan, list(plan.columns), drawn)
    for page in pages:
        tally.add(each for each in page if each.kind is not Kind.QUEUED)
    if not tally.counts:
        return result(f"compared {looked_at}: no difference")
    return result(
        f"compared {looked_at}: {tally}",
        *(" ".join(line.split()) for line in tally.listing([Kind.IN_FLIGHT])),
        f"cellmap check --cell {selector(cell)} lists them all, cellmap repair mends "
        "what is safe to mend",
        code=gravity(cell, tally),
    )


def gravity(cell: Cell, tally: Tally) -> Code:
    """Return how grave the differences are."""
    lost = {kind for kind in LOST if tally.counts[kind]}
    if cell.settings.on_reject == "skip":
        lost.discard(Kind.REJECTED)
    return Code.FAILURE if lost else Code.WARNING


def selector(cell: Cell) -> str:
    """Return what names the cell on a command line, whatever it is called."""
    return shlex.quote(cell.mapping.uuid)
