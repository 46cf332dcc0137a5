"""Make a cloud to try the commands on: ``python3 -m cellmap_migrations.testing cloud``.

It has two cells on SQLite, most of whose instances have no mapping. Nothing but this
package is needed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cellmap_migrations.output.report import tell
from cellmap_migrations.testing.api import Api
from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.config import Config, text
from cellmap_migrations.testing.rows import LONG_AGO
from cellmap_migrations.testing.schema import api_tables, cell_tables
from cellmap_migrations.testing.servers.sqlite import SQLite

if TYPE_CHECKING:
    from collections.abc import Sequence


RELEASE = "34"

CELLS = {
    "cell1": "1111a1a5-2f0c-4f55-8d1c-8b5b0c1f0e01",
    "cell2": "2222b2b6-3a1d-4e66-9e2d-9c6c1d2a1f02",
}

# An instance that cannot be mapped before somebody decides about it.
NO_PROJECT = "77777777-0c1d-4b2a-9f3e-5d6c7b8a9f07"


def make_cloud(folder: Path) -> Config:
    """Create ``nova.conf`` and the three databases of a cloud in an empty *folder*."""
    server, config = SQLite(folder), Config(folder / "nova.conf")
    url = server.create_database("api", api_tables(RELEASE))
    config.change({"api_database": {"connection": text(url)}})
    api = Api(url, RELEASE)
    one, two = (add_cell(api, server, name) for name in CELLS)
    one.add_instances(1200)
    one.add_instance(deleted=True)
    for uuid in one.add_instances(19):
        api.map(uuid, one)
    two.add_instances(300)
    two.add_instance(uuid=NO_PROJECT, project_id=None)
    return config


def add_cell(api: Api, server: SQLite, name: str) -> Cell:
    """Create the database of a cell, and its row of ``cell_mappings``."""
    url = server.create_database(name, cell_tables(RELEASE))
    api.insert(
        "cell_mappings",
        created_at=LONG_AGO,
        uuid=CELLS[name],
        name=name,
        transport_url="rabbit://localhost/",
        database_connection=text(url),
        disabled=False,
    )
    return Cell(api, CELLS[name], name, url, RELEASE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the cloud, and print the path of its nova.conf; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python3 -m cellmap_migrations.testing",
        description="Make a nova cloud of two cells on SQLite, to try commands on.",
    )
    parser.add_argument("folder", type=Path, help="a new folder")
    folder: Path = parser.parse_args(arguments).folder
    try:
        folder.mkdir()
    except OSError as error:
        parser.error(f"cannot create {folder}: {error.strerror}; name a new folder")
    make_cloud(folder.resolve())
    return tell([str(folder / "nova.conf")])


if __name__ == "__main__":
    sys.exit(main())
