"""Decide about the instances of a page before its transaction begins."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import sqlalchemy as sa

from cellmap_migrations.copying import read, twins
from cellmap_migrations.databases.among import read_among
from cellmap_migrations.databases.texts import number_text, read_texts
from cellmap_migrations.nova.rules import (
    Copy,
    Evidence,
    ExistingMapping,
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


# Seconds between two reads of an instance that seems to be a conflict: a cross-cell
# resize has two live copies for a moment (nova 21.0.0 and later).
SECOND_LOOK = 1.0


def decide_rows(cell: Cell, plan: Plan, rows: Sequence[Instance]) -> list[Verdict]:
    """Return the verdict about each instance.

    Conflicts are read again after SECOND_LOOK seconds, and decided about anew. Of two
    instances that the API database takes for one, the second is a conflict.
    """
    verdicts = decide_again(cell, plan, decide_once(cell, rows))
    return twins.refuse_second(verdicts, cell.api.fold)


def decide_again(
    cell: Cell, plan: Plan, verdicts: Sequence[Verdict]
) -> Sequence[Verdict]:
    """Return *verdicts*; conflicts are decided about anew after SECOND_LOOK seconds."""
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
    """Read mappings, build requests and copies in other cells, and decide."""
    fold = cell.api.fold
    if not rows:
        return []
    mappings = find_mappings(cell.api, [row.uuid for row in rows])
    pairs = [(row, mappings.get(fold(row.uuid))) for row in rows]
    evidence = Evidence(
        cell_id=cell.mapping.id,
        now=utcnow(),
        grace=timedelta(seconds=cell.settings.grace_seconds),
        requests=find_build_requests(cell.api, uuids_without_cell(pairs)),
        copies=find_copies(cell, pairs),
        cell_names={number: str(other) for number, other in cell.cells.items()},
    )
    verdicts = [decide(row, existing, evidence) for row, existing in pairs]
    return twins.refuse_mapped(cell, verdicts, pairs)


def find_mappings(api: Database, uuids: Sequence[str]) -> dict[str, ExistingMapping]:
    """Return existing mappings, keyed by the uuid as the unique index compares it.

    That is in lower case on MySQL.
    """
    uuid = instance_mappings.c.instance_uuid
    number = sa.func.coalesce(number_text(instance_mappings.c.cell_id), "")
    select = sa.select(uuid, number.label("number"))
    rows = read_among(partial(read_texts, api.read_once), select, uuid, uuids)
    return {
        api.fold(row[0]): ExistingMapping(
            instance_uuid=row[0], cell_id=int(row[1]) if row[1] else None
        )
        for row in rows
    }


def find_build_requests(api: Database, uuids: Sequence[str]) -> dict[str, int]:
    """Return ``build_requests.id`` by the uuid of the instance, for *uuids*."""
    if not uuids or not api.columns_once(build_requests):
        return {}
    select = sa.select(build_requests.c.instance_uuid, build_requests.c.id)
    rows = read_among(api.read_once, select, build_requests.c.instance_uuid, uuids)
    ids = {api.fold(row[0]): row[1] for row in rows}
    return {uuid: ids[key] for uuid in uuids if (key := api.fold(uuid)) in ids}


def uuids_without_cell(
    pairs: Sequence[tuple[Instance, ExistingMapping | None]],
) -> list[str]:
    """Return the uuids of the rows whose mapping has no cell."""
    return [
        row.uuid for row, existing in pairs if existing and existing.cell_id is None
    ]


def find_copies(
    cell: Cell, pairs: Sequence[tuple[Instance, ExistingMapping | None]]
) -> dict[str, Copy]:
    """Return the copy of each row that is mapped to another cell, by its uuid."""
    by_cell: dict[int, list[str]] = {}
    for row, existing in pairs:
        if owner := other_cell(row, existing, cell.mapping.id):
            by_cell.setdefault(owner, []).append(row.uuid)
    return {
        uuid: copy
        for cell_id, uuids in by_cell.items()
        for uuid, copy in cell.others.copies(cell_id, uuids).items()
    }
