"""Decide about the instances of a page before its transaction begins."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa

from cellmap_migrations.copying import read, twins
from cellmap_migrations.nova.rules import (
    Copy,
    Evidence,
    Found,
    Instance,
    Outcome,
    Verdict,
    decide,
    other_cell,
)
from cellmap_migrations.nova.tables import build_requests, instance_mappings, utcnow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellmap_migrations.cell.cell import Cell
    from cellmap_migrations.copying.plan import Plan
    from cellmap_migrations.databases.database import Database


def find_mappings(api: Database, uuids: Sequence[str]) -> dict[str, Found]:
    """Return the mappings of the instances, by the uuid as the API's key folds it."""
    rows = api.read_once(
        sa.select(instance_mappings.c.instance_uuid, instance_mappings.c.cell_id).where(
            instance_mappings.c.instance_uuid.in_(uuids)
        )
    )
    return {
        api.fold(row[0]): Found(instance_uuid=row[0], cell_id=row[1]) for row in rows
    }


def requests(api: Database, uuids: Sequence[str]) -> dict[str, int]:
    """Return the ids of nova's build requests, by the uuid of their instance."""
    if not uuids or not api.columns_now(build_requests):
        return {}
    rows = api.read_once(
        sa.select(build_requests.c.instance_uuid, build_requests.c.id).where(
            build_requests.c.instance_uuid.in_(uuids)
        )
    )
    ids = {api.fold(row[0]): row[1] for row in rows}
    return {uuid: ids[key] for uuid in uuids if (key := api.fold(uuid)) in ids}


# A cross-cell resize has two live copies for a moment (nova 21.0.0 and later), so
# nothing is called a conflict before it was looked at twice, this many seconds apart.
SECOND_LOOK = 1.0


def decide_rows(cell: Cell, plan: Plan, rows: Sequence[Instance]) -> list[Verdict]:
    """Return what is to become of each row; a conflict only after a second look."""
    verdicts = second_look(cell, plan, decide_once(cell, rows))
    return twins.refuse_second(verdicts, cell.api.fold)


def second_look(
    cell: Cell, plan: Plan, verdicts: Sequence[Verdict]
) -> Sequence[Verdict]:
    """Return *verdicts*, those that are conflicts after another look."""
    doubtful = [
        verdict.instance.id
        for verdict in verdicts
        if verdict.outcome is Outcome.CONFLICT
    ]
    if not doubtful:
        return verdicts
    cell.stopping.wait(SECOND_LOOK)
    again = decide_once(cell, read.by_ids(cell.database, plan, doubtful))
    second = {verdict.instance.id: verdict for verdict in again}
    gone = Outcome.IN_FLIGHT
    return [
        second.get(verdict.instance.id, replace(verdict, outcome=gone, why=""))
        if verdict.outcome is Outcome.CONFLICT
        else verdict
        for verdict in verdicts
    ]


def decide_once(cell: Cell, rows: Sequence[Instance]) -> list[Verdict]:
    """Ask the API database and the other cells, and decide."""
    fold = cell.api.fold
    if not rows:
        return []
    found = find_mappings(cell.api, [row.uuid for row in rows])
    pairs = [(row, found.get(fold(row.uuid))) for row in rows]
    around = Evidence(
        cell_id=cell.mapping.id,
        now=utcnow(),
        grace=timedelta(seconds=cell.settings.grace_seconds),
        requests=requests(cell.api, without_cell(pairs)),
        copies=copies(cell, pairs),
        cell_names={number: str(other) for number, other in cell.cells.items()},
    )
    verdicts = [decide(row, mapping, around) for row, mapping in pairs]
    return twins.refuse_mapped(cell, verdicts, pairs)


def copies(
    cell: Cell, pairs: Sequence[tuple[Instance, Found | None]]
) -> dict[str, Copy]:
    """Ask each cell that some of the rows are mapped to."""
    by_cell: dict[int, list[str]] = {}
    for row, found in pairs:
        if owner := other_cell(row, found, cell.mapping.id):
            by_cell.setdefault(owner, []).append(row.uuid)
    return {
        uuid: copy
        for cell_id, uuids in by_cell.items()
        for uuid, copy in cell.others.copies(cell_id, uuids).items()
    }


def without_cell(
    pairs: Sequence[tuple[Instance, Found | None]],
) -> list[str]:
    """Return the uuids of the rows whose mapping has no cell."""
    return [row.uuid for row, found in pairs if found and found.cell_id is None]
