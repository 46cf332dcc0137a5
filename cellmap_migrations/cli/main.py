"""Parse the command line of ``cellmap``, and run one command."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any, Protocol

from oslo_config import cfg

from cellmap_migrations.cli import (
    cells,
    check,
    config_path,
    downgrade,
    journal,
    merge,
    pause,
    repair,
    report,
    reset,
    resume,
    set_options,
    status,
    upgrade,
)
from cellmap_migrations.common import secrets
from cellmap_migrations.common.errors import CellmapError
from cellmap_migrations.config import nova_conf
from cellmap_migrations.output.report import Report, emit

if TYPE_CHECKING:
    from collections.abc import Sequence


class Command(Protocol):
    """Describe a module of this room that implements a command."""

    SUMMARY: str
    EXAMPLE: str

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments of the command."""

    def run(self, conf: cfg.ConfigOpts) -> int:
        """Run the command, and return the exit code."""


COMMANDS: dict[str, Command] = {
    "upgrade": upgrade,
    "status": status,
    "journal": journal,
    "cells": cells,
    "report": report,
    "pause": pause,
    "resume": resume,
    "set": set_options,
    "check": check,
    "repair": repair,
    "merge": merge,
    "downgrade": downgrade,
    "reset": reset,
    "config-path": config_path,
}


def add_commands(subparsers: Any) -> None:
    """Add a parser for each command."""
    # Else the usage has all names in one word, which is wider than a terminal.
    subparsers.metavar = "COMMAND"
    for name, command in COMMANDS.items():
        parser = subparsers.add_parser(
            name,
            help=command.SUMMARY,
            description=command.SUMMARY,
            epilog=command.EXAMPLE,
        )
        command.arguments(parser)


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
        return report_unreadable(error, given)
    return COMMANDS[conf.command.name].run(conf)


def report_unreadable(error: CellmapError, given: Sequence[str]) -> int:
    """Print *error* in the output format that *given* names; return its exit code."""
    asked = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    asked.add_argument("--cell", action="append", default=[])
    for name in ("--output", "--canary", "--executor", "--scheduler"):
        asked.add_argument(name)
    known, _ = asked.parse_known_args(given)
    as_json = known.output == "json"
    if upgrade.wants_summary(known):
        return emit([], as_json=as_json, together=True, error=error)
    report = Report(cell=next(map(secrets.shown, known.cell), None))
    report.end(error)
    return emit([report], as_json=as_json, together=False)
