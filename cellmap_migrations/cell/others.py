"""Ask the other cells which of some instances they have."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

import sqlalchemy as sa

from cellmap_migrations.common.errors import CellmapError
from cellmap_migrations.databases.base import DATABASE_ERRORS
from cellmap_migrations.nova import cells
from cellmap_migrations.nova.rules import Copy
from cellmap_migrations.nova.tables import instances

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cellmap_migrations.common.stopping import Stopping
    from cellmap_migrations.config.settings import Settings
    from cellmap_migrations.databases.database import Database
    from cellmap_migrations.nova.cells import CellMapping


# Seconds to try to reach a cell that is only asked; once for each in a run.
PATIENCE = 5.0


@dataclass(kw_only=True)
class OtherCells:
    """The other cells, opened when first asked; one that cannot be is not retried."""

    cells: Mapping[int, CellMapping]
    api: Database
    settings: Settings
    stopping: Stopping
    opened: dict[int, Database | None] = field(default_factory=dict)
    # Batches that are written at the same time may ask for the same cell.
    opening: Lock = field(default_factory=Lock)

    def copies(self, cell_id: int, uuids: Sequence[str]) -> dict[str, Copy]:
        """Return what the cell with ``cell_mappings.id`` *cell_id* has of each uuid.

        The uuids are compared as the API's index compares them.
        """
        if cell_id not in self.cells:
            # Only possible where foreign keys are not enforced, as in SQLite.
            return dict.fromkeys(uuids, Copy.ABSENT)
        fold = self.api.fold
        with self.opening:
            database = self.open(cell_id)
        if database is None:
            return dict.fromkeys(uuids, Copy.UNKNOWN)
        try:
            rows = database.read(self.select(database, fold.spellings(uuids)))
        except (CellmapError, *DATABASE_ERRORS):
            self.stopping.check()
            self.opened[cell_id] = None
            return dict.fromkeys(uuids, Copy.UNKNOWN)
        theirs = {fold(row[0]): state(deleted=row[1], hidden=row[2]) for row in rows}
        return {uuid: theirs.get(fold(uuid), Copy.ABSENT) for uuid in uuids}

    def close(self) -> None:
        """Close every database that was opened."""
        for database in filter(None, self.opened.values()):
            database.close()

    def silent(self) -> list[str]:
        """Return the cells that could not be asked."""
        return sorted(
            str(self.cells[cell_id])
            for cell_id, database in self.opened.items()
            if database is None
        )

    def open(self, cell_id: int) -> Database | None:
        """Return the cell's database, or None if it cannot be reached."""
        if cell_id not in self.opened:
            try:
                self.opened[cell_id] = cells.connect_cell(
                    self.cells[cell_id],
                    self.settings,
                    self.stopping,
                    patience=min(PATIENCE, self.settings.connect_timeout),
                )
            except CellmapError:
                self.stopping.check()
                self.opened[cell_id] = None
        return self.opened[cell_id]

    @staticmethod
    def select(
        database: Database, uuids: Sequence[str]
    ) -> sa.Select[tuple[str, int, bool]]:
        """Return the SELECT of the states of *uuids* in a cell of any release."""
        has_hidden = "hidden" in database.columns(instances)
        return sa.select(
            instances.c.uuid,
            sa.func.coalesce(instances.c.deleted, 0),
            instances.c.hidden if has_hidden else sa.false(),
        ).where(instances.c.uuid.in_(uuids))


def state(*, deleted: int, hidden: bool | None) -> Copy:
    """Return the state of a row that is there."""
    if hidden:
        return Copy.HIDDEN
    return Copy.DELETED if deleted else Copy.LIVE
