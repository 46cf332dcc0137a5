"""Mappings to this cell whose instance is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from cellmap_migrations.bookkeeping.provenance import inserted_by
from cellmap_migrations.schema import instance_mappings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellmap_migrations.cell import Cell


def remove_ours(cell: Cell, revision: str, uuids: Sequence[str]) -> tuple[int, int]:
    """Delete our mappings of instances that are gone; count those of others.

    nova's archive deletes the instance first and its mapping afterwards, and a batch
    that read the instance before may insert the mapping after both.
    """
    if not uuids:
        return 0, 0
    present = (
        instance_mappings.c.instance_uuid.in_(uuids),
        instance_mappings.c.cell_id == cell.mapping.id,
    )

    def work() -> tuple[int, int]:
        with cell.api.engine.begin() as connection:
            removed = connection.execute(
                sa.delete(instance_mappings).where(
                    *present, inserted_by(cell.mapping, revision)
                )
            ).rowcount
            others = connection.execute(
                sa.select(sa.func.count())
                .select_from(instance_mappings)
                .where(*present)
            ).scalar_one()
        return removed, int(others)

    return cell.api.again(work)
