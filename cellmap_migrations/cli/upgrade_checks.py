"""Check the API database and each cell for ``cellmap-status upgrade check``."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import sqlalchemy as sa
from oslo_upgradecheck.upgradecheck import Code, Result

from cellmap_migrations import run
from cellmap_migrations.bookkeeping import versions
from cellmap_migrations.common.errors import (
    CellmapError,
    ConfigurationError,
    Stopped,
    TopLevelCell,
    TryAgain,
)
from cellmap_migrations.common.secrets import one_line
from cellmap_migrations.comparing.differences import COMPARED, Kind, Tally, differences
from cellmap_migrations.copying import preflight
from cellmap_migrations.copying.plan import ALWAYS, make_plan
from cellmap_migrations.nova.tables import instance_mappings
from cellmap_migrations.operations.repair import count_markers

if TYPE_CHECKING:
    from collections.abc import Callable

    from cellmap_migrations.cell.cell import Cell
    from cellmap_migrations.config.settings import Settings
    from cellmap_migrations.databases.database import Database


def result(*found: str, code: Code = Code.SUCCESS) -> Result:
    """Return a result whose details are the sentences of *found*."""
    return Result(code, one_line("; ".join(found)))


def failed(error: CellmapError, at_least: Code = Code.WARNING) -> Result:
    """Return *error* as a result.

    What may be over at the next attempt is a warning, what has to be corrected is a
    failure.
    """
    code = Code.WARNING if isinstance(error, TryAgain) else Code.FAILURE
    return result(str(error), code=max(code, at_least))


def safely(check: Callable[[], Result], database: Database) -> Result:
    """Return the result of *check*, which fails alone; raise Stopped after a signal."""
    try:
        return check()
    # One check that fails, for whatever reason, must not keep the others from running.
    except Exception as failure:  # noqa: BLE001
        error = run.as_error(failure, database.stopping, database)
    if isinstance(error, Stopped):
        raise error
    return failed(error)


COUNTED_BY = frozenset({"queued_for_delete", "user_id"})

EXAMPLES = 3


def schema_recent(api: Database) -> Result:
    """Fail if a revision needs a column that is not there."""
    have = api.columns(instance_mappings)
    if lacking := sorted((ALWAYS | COMPARED.keys()) - have):
        names = ", ".join(f"instance_mappings.{name}" for name in lacking)
        return result(
            f"{names} not there; run nova-manage api_db sync", code=Code.FAILURE
        )
    return result("every column that the revisions need is there")


def no_marker(api: Database, settings: Settings) -> Result:
    """Warn of a place that map_instances left in the table; it stops only itself."""
    if not (markers := count_markers(api, settings)):
        return result("none is left behind")
    return result(
        f"{markers} left behind in instance_mappings; cellmap repair of any cell "
        "removes them",
        code=Code.WARNING,
    )


def counted(api: Database, *, in_use: bool) -> Result:
    """Look for mappings that nova cannot count by.

    One of them breaks unified limits for the whole cloud, which fails where these are
    *in_use*, and keeps the other drivers at counting in the cells.
    """
    if COUNTED_BY - api.columns(instance_mappings):
        return result("not checked: see API schema", code=Code.WARNING)
    # The condition of nova.quota.is_qfd_populated (19.0.0 and later).
    flag, user = instance_mappings.c.queued_for_delete, instance_mappings.c.user_id
    rows = api.read(
        sa.select(instance_mappings.c.instance_uuid)
        .where(sa.or_(flag.is_(None), sa.and_(user.is_(None), flag == sa.false())))
        .order_by(instance_mappings.c.id)
        .limit(EXAMPLES + 1)
    )
    if not rows:
        return result("every mapping has what they count by")
    uuids = [row[0] for row in rows[:EXAMPLES]]
    more = " and more" if len(rows) > EXAMPLES else ""
    return result(
        f"mappings without queued_for_delete or user_id: {', '.join(uuids)}{more}",
        "with one such row nova refuses to count by unified limits; upgrade every "
        "cell to head, then decide about what is left",
        code=Code.FAILURE if in_use else Code.WARNING,
    )


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
        _ = cell.opened
    # Cells are opened in threads; each problem is for the row of its own cell.
    except Exception as error:  # noqa: BLE001
        return error
    return None


def compared(cell: Cell, problem: Exception | None) -> Result:
    """Check one cell; *problem* is the error that keeps it from being read, or None."""
    wrong = False

    def compare() -> Result:
        nonlocal wrong
        try:
            if problem:
                raise problem
            return equal(cell)
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
    found = ", ".join(versions.stamped(cell.api, cell.mapping.uuid))
    head = versions.head()
    if found == head:
        return result(f"at revision {head}")
    at = f"revision {found}" if found else "no revision"
    command = f": run cellmap upgrade --cell {selector(cell)}" if hint else ""
    return result(f"at {at}, and the last one is {head}{command}", code=Code.FAILURE)


def equal(cell: Cell) -> Result:
    """Compare all rows of the cell with its mappings."""
    plan = make_plan(cell, COMPARED)
    preflight.refuse_top_level(cell)
    tally = Tally()
    for page in differences(cell, plan, list(plan.columns)):
        tally.add(each for each in page if each.kind is not Kind.QUEUED)
    compared = "compared all instances and mappings"
    if not tally.counts:
        return result(f"{compared}: no difference")
    return result(
        f"{compared}: {tally}",
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
