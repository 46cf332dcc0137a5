"""Count orphans that nova cannot have left behind: the database may be an old copy."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa

from cellmap_migrations.bookkeeping import journal
from cellmap_migrations.bookkeeping.journal import inserted_by
from cellmap_migrations.common.sentences import Unsettled
from cellmap_migrations.comparing.evidence import (
    FEW,
    TOLERANCE,
    Displaced,
    absent_uuids,
    refuse_orphans,
)
from cellmap_migrations.comparing.orphans import not_queued
from cellmap_migrations.copying import read
from cellmap_migrations.copying.preflight import ENOUGH
from cellmap_migrations.databases.among import read_among
from cellmap_migrations.nova.tables import instance_mappings, instances

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellmap_migrations.cell.cell import Cell
    from cellmap_migrations.copying.plan import Plan


class Losses:
    """Count the orphans of *cell*, and the orphans that nova cannot have left behind.

    nova archives deleted instances only, and sets ``queued_for_delete`` before it
    deletes an instance. So an orphan without that flag was lost in another way if this
    package inserted its mapping, or if it is younger than the youngest instance.
    """

    def __init__(self, cell: Cell, plan: Plan) -> None:
        self.cell, self.plan = cell, plan
        self.orphans, self.unexplained, self.removed = 0, 0, 0

    def count(self, uuids: Sequence[str]) -> None:
        """Count the orphans of a page."""
        missing = absent_uuids(self.cell, self.cell.mapping.id, uuids)
        self.orphans += len(missing)
        if missing and "queued_for_delete" in self.plan.columns:
            self.unexplained += self.count_unexplained(missing)

    def count_unexplained(self, uuids: Sequence[str]) -> int:
        """Return how many of the orphans *uuids* nova cannot have left behind."""
        table = instance_mappings.c
        lost = [table.created_at > youngest(self.cell)]
        if journal.exists(self.cell.api):
            lost.append(inserted_by(self.cell.mapping))
        count = sa.select(sa.func.count()).where(
            table.cell_id == self.cell.mapping.id,
            not_queued(self.plan),
            sa.or_(*lost),
        )
        counts = read_among(self.cell.api.read, count, table.instance_uuid, uuids)
        return sum(int(row[0]) for row in counts)

    def evidence(self, gained: int = 0) -> Displaced | None:
        """Return the evidence against the database of the cell, or None.

        *gained* is the number of mappings that a dry run would have inserted.
        """
        if not self.orphans:
            return None
        count = sa.select(sa.func.count()).select_from(instance_mappings)
        named = count.where(instance_mappings.c.cell_id == self.cell.mapping.id)
        mappings = int(self.cell.api.read(named)[0][0]) + gained
        if not self.unexplained and (
            self.orphans < ENOUGH or self.orphans * 2 <= mappings
        ):
            return None
        why = "; nova has not queued them for deletion" if self.unexplained else ""
        return Displaced(
            database=self.cell.database.what,
            mappings=mappings,
            orphans=self.unexplained or self.orphans,
            elsewhere=why,
        )

    def refuse(self, gained: int = 0) -> None:
        """Raise InstancesMissing if the database of the cell seems to be wrong."""
        if displaced := self.evidence(gained):
            refuse_orphans(self.cell, [displaced])

    def allow_removal(self, orphans: int) -> None:
        """Raise Unsettled if more orphans would be removed than were counted."""
        self.removed += orphans
        if self.removed > self.orphans * (1 + TOLERANCE) + FEW:
            raise Unsettled(cell=self.cell.mapping, count=self.removed)


# Instances with the highest ids: one of them is the youngest.
NEWEST = 20

BEFORE_NOVA = datetime.fromisoformat("1970-01-01")


def youngest(cell: Cell) -> datetime:
    """Return the highest created_at of the newest instances, or 1970 without any."""
    created_at = sa.select(instances.c.created_at).order_by(instances.c.id.desc())
    times = [
        read.time_of(row[0]) for row in cell.database.read(created_at.limit(NEWEST))
    ]
    return max(filter(None, times), default=BEFORE_NOVA)
