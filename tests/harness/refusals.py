"""Run commands that must be refused and change nothing."""

from typing import Any

from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.process import Finished
from tests.harness.cloud import Cloud
from tests.harness.inside import cellmap_inside, last_line

COMMANDS = ["upgrade", "upgrade --dry-run", "repair", "repair --dry-run"]


def run(cloud: Cloud, cell: Cell, command: str, *options: str) -> Finished:
    return cellmap_inside(cloud, *command.split(), "--cell", cell.uuid, *options)


def state(cloud: Cloud) -> tuple[Any, ...]:
    """Return the mappings, the revisions and the journal."""
    journal = [cloud.journal(cell) for cell in cloud.cells]
    return cloud.mappings(), cloud.versions(), journal


def refused(cloud: Cloud, cell: Cell, command: str) -> str:
    """Return the error of a command that ended with 65, and changed nothing."""
    before = state(cloud)

    finished = run(cloud, cell, command)

    assert (finished.code, state(cloud)) == (65, before)
    return last_line(finished)
