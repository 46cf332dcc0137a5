"""``cellmap config-path``: where the packaged alembic.ini is."""

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
    """Print the path."""
    as_json = json.dumps({"path": path(), **common.WELL})
    return tell([as_json if conf.command.output == "json" else path()])


def path() -> str:
    """Return the path."""
    return str(files("cellmap_migrations") / "conf" / "alembic.ini")
