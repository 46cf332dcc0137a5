"""``cellmap check``: compare, and change nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellmap_migrations.cli import common
from cellmap_migrations.operations import check

if TYPE_CHECKING:
    import argparse

    from oslo_config import cfg


SUMMARY = "Compare a cell with its mappings; exit code 3 if they differ."

EXAMPLE = "Example: cellmap check --cell cell1"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing of its own: every comparison is the whole one."""
    common.add_cell(parser)
    common.add_output(parser)


def run(conf: cfg.ConfigOpts) -> int:
    """Check one cell, or each of them."""
    return common.run(conf, check.check, conf.command.cell, read_only=True)
