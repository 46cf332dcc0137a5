"""Plan which columns of ``instance_mappings`` are written, and from which SQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations.common.sentences import NotACellDatabase, NotAnApiDatabase
from cellmap_migrations.nova import tables
from cellmap_migrations.nova.tables import instances

if TYPE_CHECKING:
    from cellmap_migrations.cell.cell import Cell


# The name of a column of ``instances``, or a function that makes SQL from that table.
ColumnSource = str | Callable[[sa.Table], sa.ColumnElement[Any]]

# The columns that instance_mappings has in every release since Liberty.
ALWAYS = frozenset({"id", "instance_uuid", "cell_id", "project_id", "updated_at"})


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Hold the columns of ``instance_mappings`` to write, and the SQL for each.

    *hidden* is SQL that is false if ``instances`` has no such column.
    """

    columns: Mapping[str, sa.ColumnElement[Any]]
    hidden: sa.ColumnElement[Any]


def make_plan(cell: Cell, columns: Mapping[str, ColumnSource]) -> Plan:
    """Return the plan for the *columns* that this API schema has.

    Raises NotAnApiDatabase or NotACellDatabase if a database lacks columns that every
    release has.
    """
    api, database = cell.api, cell.database
    of_mappings = api.columns(tables.instance_mappings)
    if lacking := ALWAYS - of_mappings:
        missing = ", ".join(f"instance_mappings.{name}" for name in sorted(lacking))
        raise NotAnApiDatabase(database=api.what, missing=missing)
    of_instances = database.columns(instances)
    if lacking := tables.INSTANCES_ALWAYS - of_instances:
        missing = ", ".join(f"instances.{name}" for name in sorted(lacking))
        raise NotACellDatabase(database=database.what, missing=missing)
    return Plan(
        columns={
            name: instances.c[source] if isinstance(source, str) else source(instances)
            for name, source in columns.items()
            if name in of_mappings
        },
        hidden=instances.c.hidden if "hidden" in of_instances else sa.false(),
    )
