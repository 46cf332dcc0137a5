"""Implement ``cellmap check``, which compares a cell with its mappings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellmap_migrations.cli import common, metrics
from cellmap_migrations.operations import check

if TYPE_CHECKING:
    import argparse

    from oslo_config import cfg


SUMMARY = "Compare a cell with its mappings; exit code 3 if they differ."

EXAMPLE = "Example: cellmap check --cell cell1"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the cell and the output."""
    common.add_cell(parser)
    common.add_metrics(parser)


def run(conf: cfg.ConfigOpts) -> int:
    """Check each cell that the command line names."""
    if conf.command.output == common.PROMETHEUS:
        return metrics.run(conf, check.check)
    return common.run(conf, check.check, conf.command.cell, read_only=True)
