"""Implement ``cellmap set``, which changes options of the run on a cell."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from cellmap_migrations.bookkeeping.requests import DEFAULT, SET
from cellmap_migrations.cli import requests
from cellmap_migrations.config.options import SETTABLE, parse, refuse_unsettable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from oslo_config import cfg

    from cellmap_migrations.bookkeeping.requests import Request
    from cellmap_migrations.config.settings import Settings

SUMMARY = "Change options of the run on a cell, and of later runs, until name=default."

EXAMPLE = "Example: cellmap set --cell cell1 batch_seconds=0.2 writers=1"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options to set, the cell, the reason and the output."""
    parser.add_argument(
        "assignments",
        nargs="+",
        type=parse_assignment,
        metavar="NAME=VALUE",
        help=f"{', '.join(SETTABLE)}; name={DEFAULT} takes a value back",
    )
    requests.add_arguments(parser)


def run(conf: cfg.ConfigOpts) -> int:
    """Request the values, and return the exit code."""
    return requests.run(conf, partial(assign, assignments=conf.command.assignments))


def parse_assignment(text: str) -> tuple[str, str]:
    """Return the name and the value in *text*; raise NotSettable or BadOption."""
    name, _, value = text.partition("=")
    refuse_unsettable(name)
    return name, value if value == DEFAULT else str(parse(name, value))


def assign(
    _: Settings, blank: Request, *, assignments: Sequence[tuple[str, str]]
) -> list[Request]:
    """Return a request for each of *assignments*."""
    return [
        replace(blank, action=SET, name=name, value=value)
        for name, value in assignments
    ]
