"""Implement ``cellmap config-path``, which prints the path of alembic.ini."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING

from cellmap_migrations.cli import common
from cellmap_migrations.output.report import tell

if TYPE_CHECKING:
    import argparse

    from oslo_config import cfg


SUMMARY = "Print the path of the alembic.ini that this package ships."

EXAMPLE = 'Example: alembic -c "$(cellmap config-path)" history'


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the output."""
    common.add_output(parser)


def run(conf: cfg.ConfigOpts) -> int:
    """Print the path, and return the exit code."""
    path = str(files("cellmap_migrations") / "conf" / "alembic.ini")
    as_json = json.dumps({"path": path, **common.exit_fields(None)})
    return tell([as_json if conf.command.output == "json" else path])
