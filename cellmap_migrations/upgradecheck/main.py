"""Read the command line of ``cellmap-status``, and check."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from io import StringIO
from typing import TYPE_CHECKING, Any

from oslo_config import cfg
from oslo_upgradecheck import upgradecheck

from cellmap_migrations import nova_conf, running
from cellmap_migrations.errors import CellmapError
from cellmap_migrations.printing import tell
from cellmap_migrations.progress import say
from cellmap_migrations.upgradecheck.checks import UpgradeCommands

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellmap_migrations.stopping import Stopping

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

    failure = running.guard(work)
    if tell(text.getvalue().splitlines(), failure):
        return NOT_CHECKED
    return codes[0]
