"""Count the orphans of a comparison before the first of them is removed."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa

from cellmap_migrations.bookkeeping import journal
from cellmap_migrations.bookkeeping.provenance import inserted_by
from cellmap_migrations.comparing.evidence import FEW, TOLERANCE, Displaced, refuse
from cellmap_migrations.comparing.orphans import not_queued
from cellmap_migrations.comparing.whereabouts import absent
from cellmap_migrations.copying import read
from cellmap_migrations.copying.preflight import ENOUGH
from cellmap_migrations.errors import Unsettled
from cellmap_migrations.schema import instance_mappings, instances

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellmap_migrations.cell import Cell
    from cellmap_migrations.copying.plans import Plan

# Instances with the highest ids: one of them is the youngest.
NEWEST = 20
BEFORE_NOVA = datetime.fromisoformat("1970-01-01")


class Losses:
    """The orphans of *cell*, and how many of them nova cannot have left behind.

    nova archives deleted instances only, and queues an instance for deletion before it
    deletes it. So an orphan that is not queued was lost in another way if this package
    inserted its mapping, or if it is younger than the youngest instance: the database
    is probably an old copy.
    """

    def __init__(self, cell: Cell, plan: Plan) -> None:
        self.cell, self.plan = cell, plan
        self.orphans, self.unexplained, self.removed = 0, 0, 0

    def count(self, uuids: Sequence[str]) -> None:
        """Add orphans of a page."""
        missing = absent(self.cell, self.cell.mapping.id, uuids)
        self.orphans += len(missing)
        if missing and "queued_for_delete" in self.plan.columns:
            self.unexplained += self.lost(missing)

    def lost(self, uuids: Sequence[str]) -> int:
        """Return how many of the orphans *uuids* nova cannot have left behind."""
        table = instance_mappings.c
        strange = [table.created_at > youngest(self.cell)]
        if journal.exists(self.cell.api):
            strange.append(inserted_by(self.cell.mapping))
        found = self.cell.api.read(
            sa.select(sa.func.count()).where(
                table.instance_uuid.in_(uuids),
                table.cell_id == self.cell.mapping.id,
                not_queued(self.plan),
                sa.or_(*strange),
            )
        )
        return int(found[0][0])

    def found(self, gained: int = 0) -> Displaced | None:
        """Return what speaks against the database of the cell, or None.

        *gained* is the number of mappings that a dry run has not made.
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
            database=self.cell.source.what,
            mappings=mappings,
            orphans=self.unexplained or self.orphans,
            elsewhere=why,
        )

    def refuse(self, gained: int = 0) -> None:
        """Raise InstancesMissing if the database of the cell seems to be wrong."""
        if displaced := self.found(gained):
            refuse(self.cell, [displaced])

    def remove(self, orphans: int) -> None:
        """Raise Unsettled before more orphans are removed than were counted."""
        self.removed += orphans
        if self.removed > self.orphans * (1 + TOLERANCE) + FEW:
            raise Unsettled(str(self.cell.mapping), self.removed)


def youngest(cell: Cell) -> datetime:
    """Return the highest created_at of the newest instances, or 1970 without any."""
    created_at = sa.select(instances.c.created_at).order_by(instances.c.id.desc())
    times = [read.time_of(row[0]) for row in cell.source.read(created_at.limit(NEWEST))]
    return max(filter(None, times), default=BEFORE_NOVA)
