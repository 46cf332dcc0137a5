"""Implement ``cellmap pause``, which lets the run on a cell pause."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from cellmap_migrations.bookkeeping.requests import PAUSE
from cellmap_migrations.cli import requests
from cellmap_migrations.common.errors import BadOption

if TYPE_CHECKING:
    import argparse

    from oslo_config import cfg

    from cellmap_migrations.bookkeeping.requests import Request
    from cellmap_migrations.config.settings import Settings

SUMMARY = "Let the run on a cell pause, until resume or max_pause."

EXAMPLE = 'Example: cellmap pause --cell cell1 --why "replica is rebuilt"'

# Seconds. A later time may not fit into the column of a database.
LONGEST = 366 * 24 * 3600


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the cell, the reason and the output."""
    requests.add_arguments(parser)


def run(conf: cfg.ConfigOpts) -> int:
    """Request the pause, and return the exit code."""
    return requests.run(conf, pause)


def pause(settings: Settings, blank: Request) -> list[Request]:
    """Return the request of a pause of ``max_pause`` seconds; raise BadOption for 0."""
    if not settings.max_pause:
        raise BadOption("max_pause", 0, "a pause would end at once")
    seconds = math.ceil(min(settings.max_pause, LONGEST))
    return [replace(blank, action=PAUSE, name="max_pause", value=str(seconds))]
