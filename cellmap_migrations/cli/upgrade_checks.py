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
from cellmap_migrations.comparing.differences import COMPARED, Kind, differences
from cellmap_migrations.comparing.tally import Tally
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
    """Return a result with the sentences of *found* as its details."""
    return Result(code, one_line("; ".join(found)))


def as_result(error: CellmapError, at_least: Code = Code.WARNING) -> Result:
    """Return *error* as a result, which is a warning if another run may succeed.

    Any other error is a failure. *at_least* is the least code.
    """
    code = Code.WARNING if isinstance(error, TryAgain) else Code.FAILURE
    return result(str(error), code=max(code, at_least))


def run_check(check: Callable[[], Result], database: Database) -> Result:
    """Return the result of *check*, or its error as one; raise Stopped at a signal."""
    try:
        return check()
    # A check that fails must not prevent the other checks, even after a bug.
    except Exception as failure:  # noqa: BLE001
        error = run.as_error(failure, database.stopping, database)
    if isinstance(error, Stopped):
        raise error
    return as_result(error)


COUNTED_BY = frozenset({"queued_for_delete", "user_id"})

EXAMPLES = 3


def check_schema(api: Database) -> Result:
    """Fail if the table lacks a column that a revision needs."""
    have = api.columns(instance_mappings)
    if lacking := sorted((ALWAYS | COMPARED.keys()) - have):
        names = ", ".join(f"instance_mappings.{name}" for name in lacking)
        return result(
            f"{names} not there; run nova-manage api_db sync", code=Code.FAILURE
        )
    return result("every column that the revisions need is there")


def check_marker(api: Database, settings: Settings) -> Result:
    """Warn of a marker of map_instances, which stops only later runs of that."""
    if not (markers := count_markers(api, settings)):
        return result("no marker is in instance_mappings")
    return result(
        f"{markers} stale markers in instance_mappings; cellmap repair of any cell "
        "removes them",
        code=Code.WARNING,
    )


def check_unified_limits(api: Database, *, in_use: bool) -> Result:
    """Warn of mappings that make nova count instances in the cells.

    One such mapping breaks unified limits for the whole cloud. That is a failure if
    they are *in_use*, and a warning otherwise.
    """
    if COUNTED_BY - api.columns(instance_mappings):
        return result("not checked: see API schema", code=Code.WARNING)
    # The condition of nova.quota.is_qfd_populated() (19.0.0 and later).
    flag, user = instance_mappings.c.queued_for_delete, instance_mappings.c.user_id
    rows = api.read(
        sa.select(instance_mappings.c.instance_uuid)
        .where(sa.or_(flag.is_(None), sa.and_(user.is_(None), flag == sa.false())))
        .order_by(instance_mappings.c.id)
        .limit(EXAMPLES + 1)
    )
    if not rows:
        return result("every mapping has queued_for_delete and user_id")
    uuids = [row[0] for row in rows[:EXAMPLES]]
    more = " and more" if len(rows) > EXAMPLES else ""
    return result(
        f"mappings without queued_for_delete or user_id: {', '.join(uuids)}{more}",
        "one such row makes nova refuse unified limits; upgrade every cell to head, "
        "then decide about the remaining rows",
        code=Code.FAILURE if in_use else Code.WARNING,
    )


# Differences that must stop the upgrade of a cloud. For the first three kinds and for a
# rejected instance nova answers 404. It answers with the other one of two instances in
# conflict, and with the build request of a boot that never ended. Instances with any
# other difference are found, but are counted or listed incorrectly.
GRAVE = (
    Kind.UNMAPPED,
    Kind.NO_CELL,
    Kind.WRONG_CELL,
    Kind.CONFLICT,
    Kind.REJECTED,
    Kind.IN_FLIGHT,
)


def opening_error(cell: Cell) -> Exception | None:
    """Open the database of *cell*; return the error, or None."""
    try:
        _ = cell.opened
    # This runs in a thread. The check of the cell reports the error.
    except Exception as error:  # noqa: BLE001
        return error
    return None


def check_cell(cell: Cell, problem: Exception | None) -> Result:
    """Check one cell; *problem* is the error of opening its database, or None."""
    wrong = False

    def compare() -> Result:
        nonlocal wrong
        try:
            if problem:
                raise problem
            return compare_rows(cell)
        except (ConfigurationError, TopLevelCell):
            wrong = True
            raise

    found = run_check(compare, cell.api)
    # The same error would end an upgrade, so no upgrade is recommended.
    revision = check_revision(cell, hint=not wrong)
    code = max(revision.code, found.code)
    return result(str(revision.details), str(found.details), code=code)


def check_revision(cell: Cell, *, hint: bool) -> Result:
    """Fail if the cell is not at the last revision.

    With *hint* the result names the command that upgrades the cell.
    """
    found = versions.current_revision(cell.api, cell.mapping.uuid)
    head = versions.head()
    if found == head:
        return result(f"at revision {head}")
    at = f"revision {found}" if found else "no revision"
    command = f": run cellmap upgrade --cell {selector(cell)}" if hint else ""
    return result(f"at {at}, and the last one is {head}{command}", code=Code.FAILURE)


def compare_rows(cell: Cell) -> Result:
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
        f"cellmap check --cell {selector(cell)} lists all of them, cellmap repair "
        "corrects those that are safe to correct",
        code=gravity(cell, tally),
    )


def gravity(cell: Cell, tally: Tally) -> Code:
    """Return failure if a difference must stop the upgrade, else warning."""
    grave = {kind for kind in GRAVE if tally.counts[kind]}
    if cell.settings.on_reject == "skip":
        grave.discard(Kind.REJECTED)
    return Code.FAILURE if grave else Code.WARNING


def selector(cell: Cell) -> str:
    """Return the uuid of the cell for a command line."""
    return shlex.quote(cell.mapping.uuid)
