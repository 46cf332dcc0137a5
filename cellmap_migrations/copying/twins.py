"""Refuse twins: instances of a cell whose uuids the API database takes for equal.

The cell's collation tells them apart. They can have only one mapping together.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import sqlalchemy as sa

from cellmap_migrations.databases.among import read_among
from cellmap_migrations.nova.rules import (
    WRITTEN,
    ExistingMapping,
    Instance,
    Outcome,
    Verdict,
)
from cellmap_migrations.nova.tables import instances

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellmap_migrations.cell.cell import Cell
    from cellmap_migrations.databases.folding import Folding

# Outcomes of an instance that takes a mapping for its own.
OWN = (Outcome.ALREADY, Outcome.FILLED, Outcome.MOVED)


def refuse_mapped(
    cell: Cell,
    verdicts: Sequence[Verdict],
    pairs: Sequence[tuple[Instance, ExistingMapping | None]],
) -> list[Verdict]:
    """Return *verdicts*; an instance is a conflict if its mapping names its twin.

    *pairs* are the same instances with their mappings.
    """
    named = {
        row.uuid: found.instance_uuid
        for row, found in pairs
        if found and found.instance_uuid != row.uuid
    }
    if not named:
        return list(verdicts)
    uuid = instances.c.uuid
    rows = read_among(cell.database.read, sa.select(uuid), uuid, [*named.values()])
    twins = {row[0] for row in rows}
    return [
        conflict(verdict, twin)
        if verdict.outcome in OWN
        and (twin := named.get(verdict.instance.uuid, "")) in twins
        else verdict
        for verdict in verdicts
    ]


def refuse_second(verdicts: Sequence[Verdict], fold: Folding) -> list[Verdict]:
    """Return *verdicts*; of those that write a mapping the second twin is a conflict.

    *fold* is how the API database compares uuids.
    """
    seen: dict[str, str] = {}
    kept = []
    for verdict in verdicts:
        uuid = verdict.instance.uuid
        twin = uuid
        if verdict.outcome in WRITTEN:
            twin = seen.setdefault(fold(uuid), uuid)
        kept.append(verdict if twin == uuid else conflict(verdict, twin))
    return kept


def conflict(verdict: Verdict, twin: str) -> Verdict:
    """Return the verdict for an instance whose mapping is that of its *twin*."""
    why = f"the API database takes its uuid for that of instance {twin} of this cell"
    return replace(verdict, outcome=Outcome.CONFLICT, why=why)
