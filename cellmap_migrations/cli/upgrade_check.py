"""Check all cells read-only, in the format of ``nova-status upgrade check``."""

from __future__ import annotations

import shlex
import sys
from contextlib import ExitStack, redirect_stdout
from functools import partial
from io import StringIO
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from oslo_config import cfg
from oslo_upgradecheck import upgradecheck
from oslo_upgradecheck.upgradecheck import Code, Result

from cellmap_migrations import run
from cellmap_migrations.bookkeeping import versions
from cellmap_migrations.cell.cell import Cell, make_cell
from cellmap_migrations.common.background import at_once
from cellmap_migrations.common.errors import (
    CellmapError,
    ConfigurationError,
    Stopped,
    TopLevelCell,
    TryAgain,
)
from cellmap_migrations.common.secrets import one_line
from cellmap_migrations.common.stderr import say
from cellmap_migrations.comparing import sample
from cellmap_migrations.comparing.differences import COMPARED, Kind, Tally, differences
from cellmap_migrations.config import nova_conf
from cellmap_migrations.config.settings import make
from cellmap_migrations.copying import preflight
from cellmap_migrations.copying.plan import ALWAYS, make_plan
from cellmap_migrations.nova.cells import ALL, read
from cellmap_migrations.nova.identities import Identities
from cellmap_migrations.nova.tables import instance_mappings
from cellmap_migrations.operations.repair import count_markers
from cellmap_migrations.output.report import tell

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cellmap_migrations.common.stopping import Stopping
    from cellmap_migrations.config.settings import Settings
    from cellmap_migrations.databases.database import Database
    from cellmap_migrations.nova.cells import CellMapping

    Checks = tuple[tuple[str, Callable[..., Result]], ...]


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
        error = run.as_error(failure, database)
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
    found = ", ".join(versions.stamped(cell.api, cell.mapping.uuid))
    head = versions.head()
    if found == head:
        return result(f"at revision {head}")
    at = f"revision {found}" if found else "no revision"
    command = f": run cellmap upgrade --cell {selector(cell)}" if hint else ""
    return result(f"at {at}, and the last one is {head}{command}", code=Code.FAILURE)


def equal(cell: Cell, *, full: bool) -> Result:
    """Compare the cell with its mappings."""
    plan = make_plan(COMPARED, api=cell.api, cell=cell.database)
    preflight.refuse_top_level(cell)
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


UNIFIED_LIMITS = "nova.quota.UnifiedLimitsDriver"


class UpgradeCommands(upgradecheck.UpgradeCommands):
    """Checks that only read, and of which none keeps another from being done."""

    def __init__(self, conf: cfg.ConfigOpts, stopping: Stopping) -> None:
        self.settings = make(conf, cell=ALL, read_only=True)
        self.stopping = stopping
        self.full = conf.command.full
        self.unified_limits = conf.quota.driver == UNIFIED_LIMITS

    def check(self) -> Code:
        """Print the table or the JSON object, and return the gravest result.

        Raises Stopped after a signal.
        """
        with ExitStack() as stack:
            self._upgrade_checks = self.checks(stack)
            return super().check()

    def checks(self, stack: ExitStack) -> Checks:
        """Return the checks of this cloud; *stack* closes what they work on.

        Without the API database nobody knows of any cell.
        """
        try:
            api = stack.enter_context(run.opened_api(self.settings, self.stopping))
            mappings = read(api)
        except CellmapError as error:
            self.stopping.check()
            reason = failed(error, Code.FAILURE)
            return (("API database", lambda _: reason),)
        reached = result(f"{api.what}, {len(mappings)} cells")
        cells = self.cells(api, mappings)
        for cell in cells:
            stack.callback(cell.closing.close)
        # At the same time, because those that are down take long.
        problems = at_once(*(partial(problem, cell) for cell in cells))
        return (
            ("API database", lambda _: reached),
            ("API schema", self.of_api(api, schema_recent)),
            ("map_instances marker", self.of_api(api, self.marker)),
            ("Unified limits", self.of_api(api, self.limits)),
            *(
                (f"Cell {cell.mapping}", self.of_cell(cell, error))
                for cell, error in zip(cells, problems, strict=True)
            ),
        )

    def marker(self, api: Database) -> Result:
        """Check nova's marker."""
        return no_marker(api, self.settings)

    def limits(self, api: Database) -> Result:
        """Check what unified limits count by."""
        return counted(api, in_use=self.unified_limits)

    def of_api(
        self, api: Database, check: Callable[[Database], Result]
    ) -> Callable[[Any], Result]:
        """Return *check* of the API database as oslo.upgradecheck calls it."""
        return lambda _: safely(partial(check, api), api)

    def of_cell(self, cell: Cell, problem: Exception | None) -> Callable[[Any], Result]:
        """Return the check of a cell as oslo.upgradecheck calls it."""
        check = partial(compared, cell, problem, full=self.full)
        return lambda _: safely(check, cell.api)

    def cells(self, api: Database, mappings: Sequence[CellMapping]) -> list[Cell]:
        """Return the cells of *mappings*, not opened yet."""
        identities = Identities(
            api=api, cells=mappings, settings=self.settings, stopping=self.stopping
        )
        return [make_cell(mapping, identities) for mapping in mappings]


# What oslo.upgradecheck ends with when it could not check.
NOT_CHECKED = 255


def add_commands(subparsers: Any) -> None:
    """Add the one command; its words are those of every OpenStack project."""
    parser = subparsers.add_parser(
        "upgrade",
        help="Check whether the instances of all cells are mapped; changes nothing.",
        epilog="Example: cellmap-status upgrade check --json",
    )
    parser.add_argument("check", choices=("check",))
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object, and no table"
    )
    parser.add_argument(
        "--full",
        action="store_true",
        help="compare every instance of each cell, and not only a sample of them",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Check, and return the exit code: 0, 1, 2 or 255 of oslo.upgradecheck."""
    conf = nova_conf.new_config()
    conf.register_opt(cfg.StrOpt("driver"), group="quota")
    conf.register_cli_opt(
        cfg.SubCommandOpt("command", title="commands", handler=add_commands)
    )
    try:
        given = list(sys.argv[1:] if arguments is None else arguments)
        nova_conf.read(conf, given, prog="cellmap-status")
    except CellmapError as error:
        say(f"error: {error}")
        return NOT_CHECKED
    # Where oslo.upgradecheck looks for --json.
    upgradecheck.CONF = conf
    codes: list[int] = []
    # oslo.upgradecheck would not see that its output never arrived.
    text = StringIO()

    def work(stopping: Stopping) -> None:
        with redirect_stdout(text):
            codes.append(UpgradeCommands(conf, stopping).check())

    failure = run.guard(work)
    if tell(text.getvalue().splitlines(), failure):
        return NOT_CHECKED
    return codes[0]


if __name__ == "__main__":
    sys.exit(main())
