"""``cellmap cells``: which cells there are, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cellmap_migrations.cli import common
from cellmap_migrations.common.errors import CellUrlUnusable
from cellmap_migrations.databases import urls
from cellmap_migrations.nova import cells
from cellmap_migrations.output import tables

if TYPE_CHECKING:
    import argparse

    from oslo_config import cfg

    from cellmap_migrations.config.settings import Settings
    from cellmap_migrations.databases.database import Database
    from cellmap_migrations.nova.cells import CellMapping


SUMMARY = "List the cells; never with a password."

EXAMPLE = "Example: cellmap cells --cell local --output uuid"

UUID = "uuid"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the cell, all without one, and an output that a shell can read."""
    common.add_cell(parser, default=cells.ALL)
    common.add_output(parser, UUID)


def run(conf: cfg.ConfigOpts) -> int:
    """List them."""
    return common.show(conf, look, uuids if conf.command.output == UUID else lines)


def look(settings: Settings, api: Database, _: Any) -> dict[str, Any]:
    """Return the cells in the order of their ids."""
    return {
        "cells": [
            {"cell": cell.uuid, "name": cell.name, "database": place(cell, settings)}
            for cell in cells.find(cells.read(api), settings)
        ]
    }


def place(cell: CellMapping, settings: Settings) -> str:
    """Return where the cell's database is, or why that cannot be said."""
    try:
        return urls.show(cells.resolve(cell, settings)[0])
    except CellUrlUnusable as error:
        return f"unusable: {error.why}"


def lines(found: dict[str, Any]) -> list[str]:
    """Return the table for a person."""
    return tables.lines(
        ("CELL", "NAME", "DATABASE"),
        [
            (cell["cell"], cell["name"] or "-", cell["database"])
            for cell in found["cells"]
        ],
    )


def uuids(found: dict[str, Any]) -> list[str]:
    """Return one uuid on each line."""
    return [cell["cell"] for cell in found["cells"]]
