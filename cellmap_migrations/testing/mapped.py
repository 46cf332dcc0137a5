"""Assert that all instances of a cell are mapped correctly."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cellmap_migrations.testing.cloud import Cloud

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cellmap_migrations.testing.cell import Cell

OF_INSTANCE = ("created_at", "project_id", "user_id", "deleted", "vm_state", "hidden")
OF_MAPPING = ("created_at", "project_id", "user_id", "queued_for_delete", "cell_id")


def assert_cell_mapped(cell: Cell) -> None:
    """Raise AssertionError unless ``cellmap check`` finds no difference in *cell*.

    The check compares rows and ignores the recorded revision, so any program may have
    mapped the instances. The message shows up to ten rows for each kind of difference.
    """
    __tracebackhide__ = True
    cloud = cell.api
    if not isinstance(cloud, Cloud):
        raise TypeError(f"cell {cell.uuid} belongs to no test cloud")
    finished = cloud.cellmap("check", "--cell", cell.uuid, "--output", "json")
    if finished.code != 0:
        raise AssertionError("\n".join(explain(cell, finished.out) or [finished.err]))


def explain(cell: Cell, result: str) -> list[str]:
    """Return the differences in the JSON *result* of a check, with their rows."""
    if not result:
        return []
    found = json.loads(result)
    lines = [found["reason"]]
    for kind, listed in found.get("differences", {}).items():
        lines += [f"{kind}: {listed['count']:,}"]
        for uuid in listed["uuids"]:
            lines += [f"  {uuid}", *rows(cell, uuid)]
    return lines


def rows(cell: Cell, uuid: str) -> Iterator[str]:
    """Yield one line for the instance and one for its mapping."""
    found = cell.api.mappings().get(uuid)
    mapping = None if found is None else vars(found)
    yield f"    instance  {shown(cell.row(uuid), OF_INSTANCE)}"
    yield f"    mapping   {shown(mapping, OF_MAPPING)}"


def shown(row: Mapping[str, Any] | None, names: tuple[str, ...]) -> str:
    """Return the columns *names* of *row* as text."""
    if row is None:
        return "none"
    return " ".join(f"{name}={row[name]}" for name in names if name in row)
