"""Implement ``cellmap cells``, which lists the cells and their databases."""

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


SUMMARY = "List the cells and their databases, without passwords."

EXAMPLE = "Example: cellmap cells --cell local --output uuid"

UUID = "uuid"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the cell, which is all by default, and the output."""
    common.add_cell(parser, default=cells.ALL)
    common.add_output(parser, UUID)


def run(conf: cfg.ConfigOpts) -> int:
    """Print the cells, and return the exit code."""
    return common.show(
        conf, list_cells, list_uuids if conf.command.output == UUID else lines
    )


def list_cells(settings: Settings, api: Database, _: Any) -> dict[str, Any]:
    """Return the cells that the settings name, in the order of their ids."""
    return {
        "cells": [
            {
                "cell": mapping.uuid,
                "name": mapping.name,
                "database": describe_database(mapping, settings),
            }
            for mapping in cells.find(cells.read(api), settings)
        ]
    }


def describe_database(mapping: CellMapping, settings: Settings) -> str:
    """Return kind and address of the cell's database, or why its URL is unusable."""
    url = cells.resolve_or_error(mapping, settings)
    if isinstance(url, CellUrlUnusable):
        return f"unusable: {url.why}"
    return urls.show(url)


def lines(found: dict[str, Any]) -> list[str]:
    """Return the cells as the lines of a table."""
    return tables.lines(
        ("CELL", "NAME", "DATABASE"),
        [
            (cell["cell"], cell["name"] or "-", cell["database"])
            for cell in found["cells"]
        ],
    )


def list_uuids(found: dict[str, Any]) -> list[str]:
    """Return the uuid of each cell."""
    return [cell["cell"] for cell in found["cells"]]
