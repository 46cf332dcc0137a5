"""Leave mappings that nova may still be at work on, and say until when."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations.copying import decide, read
from cellmap_migrations.nova.tables import instance_mappings, utcnow

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from cellmap_migrations.cell.cell import Cell
    from cellmap_migrations.comparing.differences import Difference


def settled(cell: Cell, row: Any, building: Collection[str]) -> bool:
    """Return True if nova is certainly not at work on the mapping *row*.

    *building* are the uuids of instances that have a build request.
    """
    end = end_of_grace(cell, row)
    return (end is None or utcnow() >= end) and row.instance_uuid not in building


def end_of_grace(cell: Cell, row: Any) -> datetime | None:
    """Return when ``grace_seconds`` of the mapping *row* end; None without any time."""
    times = map(read.time_of, (row.created_at, row.updated_at))
    touched = max(filter(None, times), default=None)
    return touched and touched + timedelta(seconds=cell.settings.grace_seconds)


def unsettled(cell: Cell, found: Sequence[Difference]) -> list[Difference]:
    """Return the orphans whose mapping a repair must leave now, with the reason."""
    table = instance_mappings.c
    uuids = [difference.uuid for difference in found]
    if not uuids:
        return []
    rows = cell.api.read(
        sa.select(table.instance_uuid, table.created_at, table.updated_at).where(
            table.instance_uuid.in_(uuids), table.cell_id == cell.mapping.id
        )
    )
    requests = cell.api.again(lambda: decide.find_build_requests(cell.api, uuids))
    mappings = {row.instance_uuid: row for row in rows}
    return [
        replace(difference, why=reason(cell, mapping, requests))
        for difference in found
        if (mapping := mappings.get(difference.uuid))
        and not settled(cell, mapping, requests)
    ]


def reason(cell: Cell, row: Any, requests: dict[str, int]) -> str:
    """Return why the mapping *row* is left, and until when."""
    if (request := requests.get(row.instance_uuid)) is not None:
        return f"nova has build request {request} for it; left until that is gone"
    return (
        f"its mapping is younger than grace_seconds ({cell.settings.grace_seconds}); "
        f"left until {end_of_grace(cell, row):%Y-%m-%d %H:%M:%S} UTC"
    )
