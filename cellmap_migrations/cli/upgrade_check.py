"""Implement ``cellmap-status upgrade check``, which checks all cells read-only.

The output has the format of ``nova-status upgrade check``.
"""

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
from cellmap_migrations.cell.cell import make_cell
from cellmap_migrations.cli.upgrade_checks import (
    as_result,
    check_cell,
    check_marker,
    check_schema,
    check_unified_limits,
    opening_error,
    result,
    run_check,
)
from cellmap_migrations.common.background import run_in_threads
from cellmap_migrations.common.errors import CellmapError
from cellmap_migrations.common.stderr import say
from cellmap_migrations.config import nova_conf
from cellmap_migrations.config.settings import make_settings
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
    """Run read-only checks, each even if another one fails."""

    def __init__(self, conf: cfg.ConfigOpts, stopping: Stopping) -> None:
        self.settings = make_settings(conf, selector=ALL, read_only=True)
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
        """Return the checks of this cloud; *stack* closes their connections.

        Without the API database the cells are unknown, and its error is the result.
        """
        try:
            api = stack.enter_context(run.opened_api(self.settings, self.stopping))
            mappings = read(api)
        except CellmapError as error:
            self.stopping.check()
            reason = as_result(error, Code.FAILURE)
            return (("API database", lambda _: reason),)
        reached = result(f"{api.what}, {len(mappings)} cells")
        marker = partial(check_marker, api, self.settings)
        limits = partial(check_unified_limits, api, in_use=self.unified_limits)
        return (
            ("API database", lambda _: reached),
            ("API schema", guarded(partial(check_schema, api), api)),
            ("map_instances marker", guarded(marker, api)),
            ("Unified limits", guarded(limits, api)),
            *self.cell_checks(api, mappings, stack),
        )

    def cell_checks(
        self, api: Database, mappings: Sequence[CellMapping], stack: ExitStack
    ) -> Checks:
        """Return a check for each cell of *mappings*; *stack* closes its databases."""
        identities = Identities(
            api=api, mappings=mappings, settings=self.settings, stopping=self.stopping
        )
        identities.ask(identities.alike(mappings))
        cells = [make_cell(mapping, identities) for mapping in mappings]
        for cell in cells:
            stack.callback(cell.closing.close)
        # All at once, because a cell that is down is noticed only at the timeout.
        errors = run_in_threads(*(partial(opening_error, cell) for cell in cells))
        return tuple(
            (f"Cell {cell.mapping}", guarded(partial(check_cell, cell, error), api))
            for cell, error in zip(cells, errors, strict=True)
        )


def guarded(check: Callable[[], Result], api: Database) -> Callable[[Any], Result]:
    """Return *check* with the argument that oslo.upgradecheck passes."""
    return lambda _: run_check(check, api)


# The exit code of oslo.upgradecheck after an error.
NOT_CHECKED = 255


def add_commands(subparsers: Any) -> None:
    """Add the command ``upgrade check``, as each OpenStack project has it."""
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
    """Run the checks, and return an exit code of oslo.upgradecheck: 0, 1, 2 or 255."""
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
    # oslo.upgradecheck reads --json from it.
    upgradecheck.CONF = conf
    codes: list[int] = []
    # oslo.upgradecheck ignores errors of stdout, so tell() prints its output.
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
