"""Implement ``cellmap resume``, which ends a pause."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cellmap_migrations.bookkeeping.requests import RESUME
from cellmap_migrations.cli import requests

if TYPE_CHECKING:
    import argparse

    from oslo_config import cfg

    from cellmap_migrations.bookkeeping.requests import Request
    from cellmap_migrations.config.settings import Settings

SUMMARY = "End the pause that cellmap pause requested; other reasons to pause stay."

EXAMPLE = "Example: cellmap resume --cell cell1"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the cell, the reason and the output."""
    requests.add_arguments(parser)


def run(conf: cfg.ConfigOpts) -> int:
    """Request the end of the pause, and return the exit code."""
    return requests.run(conf, resume)


def resume(_: Settings, blank: Request) -> list[Request]:
    """Return the request to end a pause."""
    return [replace(blank, action=RESUME)]
