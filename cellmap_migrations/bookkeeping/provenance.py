"""Tell the mappings that this package inserted from nova's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from cellmap_migrations.bookkeeping.tables import journal
from cellmap_migrations.schema import instance_mappings

if TYPE_CHECKING:
    from cellmap_migrations.directory import CellMapping


def inserted_by(
    cell: CellMapping, revision: str | None = None
) -> sa.ColumnElement[bool]:
    """Return SQL that is true of the mappings that *revision* inserted in *cell*.

    Without a *revision*: of all that this package inserted there. Their ``updated_at``
    is a stamp of the journal: no other write of this package touches that column, and
    every write of nova's does. Mappings that nova saved in the second of a stamp were
    there, as their ids tell, before the first batch of that second.
    """
    ours = [journal.c.cell_uuid == cell.uuid, journal.c.mapped > 0]
    if revision:
        ours.append(journal.c.revision == revision)
    above_id = sa.func.min(journal.c.above_id).label("above_id")
    seconds = (
        sa.select(journal.c.stamp, above_id).where(*ours).group_by(journal.c.stamp)
    ).subquery()
    return sa.and_(
        instance_mappings.c.cell_id == cell.id,
        sa.exists().where(
            seconds.c.stamp == instance_mappings.c.updated_at,
            seconds.c.above_id < instance_mappings.c.id,
        ),
    )
