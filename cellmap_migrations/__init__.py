"""Migrate nova's instance mappings online, by Alembic revisions.

Version scripts import the names of ``__all__`` from here. All other modules are
internal and may change.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cellmap_migrations.cell.cell import Cell
    from cellmap_migrations.nova.rules import deleted_or_soft_deleted
    from cellmap_migrations.operations.revisions import (
        forget,
        map_instances,
        reconcile,
        unmap_instances,
    )

__all__ = [
    "Cell",
    "deleted_or_soft_deleted",
    "forget",
    "map_instances",
    "reconcile",
    "unmap_instances",
]

OPERATIONS = "operations.revisions"
HOMES = {
    "Cell": "cell.cell",
    "deleted_or_soft_deleted": "nova.rules",
    "forget": OPERATIONS,
    "map_instances": OPERATIONS,
    "reconcile": OPERATIONS,
    "unmap_instances": OPERATIONS,
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used.

    pytest imports this package in every run for its plugin, so the import must be fast.
    """
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{HOMES[name]}"), name)
