"""Plan the columns to copy, and refuse a cell before its first write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations.common.sentences import NotACellDatabase, NotAnApiDatabase
from cellmap_migrations.nova import tables
from cellmap_migrations.nova.tables import instances

if TYPE_CHECKING:
    from cellmap_migrations.databases.database import Database


# A column of the cell's instances by its name, or SQL made from that table.
ColumnSource = str | Callable[[sa.Table], sa.ColumnElement[Any]]

ALWAYS = frozenset({"id", "instance_uuid", "cell_id", "project_id", "updated_at"})


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The columns of ``instance_mappings`` to write, and the SQL that yields each."""

    columns: Mapping[str, sa.ColumnElement[Any]]
    hidden: sa.ColumnElement[Any]


def make_plan(
    columns: Mapping[str, ColumnSource], *, api: Database, cell: Database
) -> Plan:
    """Return the plan for the columns that this API schema has.

    Raises NotAnApiDatabase or NotACellDatabase when one has not even the oldest
    columns (Liberty's).
    """
    mappings_have = api.columns(tables.instance_mappings)
    if lacking := ALWAYS - mappings_have:
        missing = ", ".join(f"instance_mappings.{name}" for name in sorted(lacking))
        raise NotAnApiDatabase(database=api.what, missing=missing)
    instances_have = cell.columns(instances)
    if lacking := tables.INSTANCES_ALWAYS - instances_have:
        missing = ", ".join(f"instances.{name}" for name in sorted(lacking))
        raise NotACellDatabase(database=cell.what, missing=missing)
    return Plan(
        columns={
            name: instances.c[source] if isinstance(source, str) else source(instances)
            for name, source in columns.items()
            if name in mappings_have
        },
        hidden=instances.c.hidden if "hidden" in instances_have else sa.false(),
    )
