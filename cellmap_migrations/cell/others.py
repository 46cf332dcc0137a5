"""Ask other cells whether they have an instance as well."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

import sqlalchemy as sa

from cellmap_migrations.common.errors import CellmapError
from cellmap_migrations.databases.among import read_among
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


# Seconds to wait for the database of another cell, once per cell and run.
PATIENCE = 5.0


@dataclass(kw_only=True)
class OtherCells:
    """Open the database of each other cell when it is first used.

    A database that fails once is not tried again in this run.
    """

    cells: Mapping[int, CellMapping]
    api: Database
    settings: Settings
    stopping: Stopping
    opened: dict[int, Database | None] = field(default_factory=dict)
    # Two threads that write batches may ask for the same cell at once.
    opening: Lock = field(default_factory=Lock)

    def copies(self, cell_id: int, uuids: Sequence[str]) -> dict[str, Copy]:
        """Return the copy that the cell with id *cell_id* has of each of *uuids*.

        The uuids are compared as the API's index compares them. Copy.UNKNOWN stands for
        a cell whose database cannot be read.
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
            select, spellings = select_copies(database), fold.spellings(uuids)
            rows = read_among(database.read, select, instances.c.uuid, spellings)
        except (CellmapError, *DATABASE_ERRORS):
            self.stopping.check()
            self.opened[cell_id] = None
            return dict.fromkeys(uuids, Copy.UNKNOWN)
        theirs = {fold(row[0]): as_copy(deleted=row[1], hidden=row[2]) for row in rows}
        return {uuid: theirs.get(fold(uuid), Copy.ABSENT) for uuid in uuids}

    def close(self) -> None:
        """Close every database that was opened."""
        for database in filter(None, self.opened.values()):
            database.close()

    def silent(self) -> list[str]:
        """Return the names of the cells whose database could not be read."""
        return sorted(
            str(self.cells[cell_id])
            for cell_id, database in self.opened.items()
            if database is None
        )

    def open(self, cell_id: int) -> Database | None:
        """Return the cell's database, or None if it cannot be opened."""
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


def select_copies(database: Database) -> sa.Select[tuple[str, int, bool]]:
    """Return the SELECT of uuid, deleted and hidden, for any release."""
    has_hidden = "hidden" in database.columns(instances)
    return sa.select(
        instances.c.uuid,
        sa.func.coalesce(instances.c.deleted, 0),
        instances.c.hidden if has_hidden else sa.false(),
    )


def as_copy(*, deleted: int, hidden: bool | None) -> Copy:
    """Return the state of an existing instance as a Copy."""
    if hidden:
        return Copy.HIDDEN
    return Copy.DELETED if deleted else Copy.LIVE
