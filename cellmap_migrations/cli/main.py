"""Read the command line as nova-manage does, and run one command."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Protocol

from oslo_config import cfg

from cellmap_migrations import nova_conf, running, settings
from cellmap_migrations.cli import check, config_path, repair, reset
from cellmap_migrations.errors import CellmapError
from cellmap_migrations.progress import say

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from cellmap_migrations import Cell
    from cellmap_migrations.settings import Settings


class Command(Protocol):
    """A module of this folder; its name is the command's."""

    SUMMARY: str
    EXAMPLE: str

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add what only this command takes."""

    def work(self, cell: Cell, command: cfg.ConfigOpts.SubCommandAttr) -> None:
        """Do it for one cell."""


COMMANDS: dict[str, Command] = {"check": check, "repair": repair, "reset": reset}


def add_commands(subparsers: Any) -> None:
    """Add a parser for each command."""
    for name, command in COMMANDS.items():
        parser = subparsers.add_parser(
            name,
            help=command.SUMMARY,
            description=command.SUMMARY,
            epilog=command.EXAMPLE,
        )
        parser.add_argument(
            "--cell",
            required=True,
            help="uuid or name of the cell, local for the one that nova.conf points "
            "at, or all",
        )
        parser.add_argument("--output", choices=("text", "json"), default="text")
        command.arguments(parser)
    subparsers.add_parser(config_path.NAME, help=config_path.SUMMARY)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, and return the exit code."""
    conf = nova_conf.new_config()
    conf.register_cli_opt(
        cfg.SubCommandOpt("command", title="commands", handler=add_commands)
    )
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        nova_conf.read(conf, given, prog="cellmap")
    except CellmapError as error:
        say(f"error: {error}")
        return error.code
    if conf.command.name == config_path.NAME:
        return config_path.run()
    command = COMMANDS[conf.command.name]

    def load() -> Settings:
        return settings.make(conf, cell=conf.command.cell, output=conf.command.output)

    return running.run(
        load,
        lambda cell: command.work(cell, conf.command),
        cell=conf.command.cell,
        as_json=conf.command.output == "json",
    )
