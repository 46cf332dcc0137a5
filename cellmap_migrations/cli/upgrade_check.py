"""Check all cells read-only, in the format of ``nova-status upgrade check``."""

from __future__ import annotations

import sys
from contextlib import ExitStack, redirect_stdout
from functools import partial
from io import StringIO
from typing import TYPE_CHECKING, Any

from oslo_config import cfg
from oslo_upgradecheck import upgradecheck
from oslo_upgradecheck.upgradecheck import Code, Result

from cellmap_migrations import run
from cellmap_migrations.cell.cell import Cell, make_cell
from cellmap_migrations.cli.upgrade_checks import (
    compared,
    counted,
    failed,
    no_marker,
    problem,
    result,
    safely,
    schema_recent,
)
from cellmap_migrations.common.background import at_once
from cellmap_migrations.common.errors import (
    CellmapError,
)
from cellmap_migrations.common.stderr import say
from cellmap_migrations.config import nova_conf
from cellmap_migrations.config.settings import make
from cellmap_migrations.nova.cells import ALL, read
from cellmap_migrations.nova.identities import Identities
from cellmap_migrations.output.report import tell

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cellmap_migrations.common.stopping import Stopping
    from cellmap_migrations.databases.database import Database
    from cellmap_migrations.nova.cells import CellMapping

    Checks = tuple[tuple[str, Callable[..., Result]], ...]


UNIFIED_LIMITS = "nova.quota.UnifiedLimitsDriver"


class UpgradeCommands(upgradecheck.UpgradeCommands):
    """Checks that only read, and of which none keeps another from being done."""

    def __init__(self, conf: cfg.ConfigOpts, stopping: Stopping) -> None:
        self.settings = make(conf, cell=ALL, read_only=True)
        self.stopping = stopping
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
        check = partial(compared, cell, problem)
        return lambda _: safely(check, cell.api)

    def cells(self, api: Database, mappings: Sequence[CellMapping]) -> list[Cell]:
        """Return the cells of *mappings*, not opened yet."""
        identities = Identities(
            api=api, cells=mappings, settings=self.settings, stopping=self.stopping
        )
        identities.ask(identities.alike(mappings))
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
