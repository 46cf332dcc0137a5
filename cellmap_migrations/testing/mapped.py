"""Assert that a cell is mapped, and show what is not."""

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

    It looks at the rows and not at the recorded revision, so it does not matter what
    mapped them. The message has the rows that differ, up to ten of a kind.
    """
    __tracebackhide__ = True
    cloud = cell.api
    if not isinstance(cloud, Cloud):
        raise TypeError(f"cell {cell.uuid} belongs to no test cloud")
    finished = cloud.cellmap("check", "--cell", cell.uuid, "--output", "json")
    if finished.code != 0:
        raise AssertionError("\n".join(explain(cell, finished.out) or [finished.err]))


def explain(cell: Cell, result: str) -> list[str]:
    """Return what the JSON *result* of a check says, and the rows that it names."""
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
    """Yield the instance and its mapping, each as a line."""
    found = cell.api.mappings().get(uuid)
    mapping = None if found is None else vars(found)
    yield f"    instance  {shown(cell.row(uuid), OF_INSTANCE)}"
    yield f"    mapping   {shown(mapping, OF_MAPPING)}"


def shown(row: Mapping[str, Any] | None, names: tuple[str, ...]) -> str:
    """Return some columns of a row as text."""
    if row is None:
        return "none"
    return " ".join(f"{name}={row[name]}" for name in names if name in row)
