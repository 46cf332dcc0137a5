"""Find mappings without a cell whose instance is in no cell: strays.

A stray belongs to no cell. So the check of each cell names all strays, and the repair
of any cell removes them, as it removes the markers of ``map_instances``.
"""

from __future__ import annotations

from collections import Counter
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations.bookkeeping.tables import REMOVED
from cellmap_migrations.comparing.checksums import mappings_side, ranges
from cellmap_migrations.comparing.chunks import PAGE
from cellmap_migrations.comparing.differences import Difference, Kind
from cellmap_migrations.comparing.evidence import copies, displaced
from cellmap_migrations.comparing.unsettled import settled
from cellmap_migrations.copying import decide
from cellmap_migrations.nova.rules import Copy
from cellmap_migrations.nova.tables import MARKER, instance_mappings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from cellmap_migrations.cell.cell import Cell
    from cellmap_migrations.copying.batches import Batches
    from cellmap_migrations.copying.plan import Plan


SELECT = sa.select(
    instance_mappings.c.id,
    instance_mappings.c.instance_uuid,
    instance_mappings.c.created_at,
    instance_mappings.c.updated_at,
)


class Strays:
    """Finds the strays of the cloud during a run on *cell*."""

    def __init__(self, cell: Cell, plan: Plan) -> None:
        self.cell, self.plan = cell, plan

    def pages(self) -> Iterator[list[Any]]:
        """Yield the rows of strays; ask a cell only if there are candidates for it."""
        for rows in without_cell(self.cell):
            if found := self.cell.api.again(partial(self.among, rows)):
                yield found

    def among(self, rows: Sequence[Any]) -> list[Any]:
        """Return those of *rows* that are strays, as far as the cells can be asked."""
        requests = decide.find_build_requests(
            self.cell.api, [row.instance_uuid for row in rows]
        )
        found = [row for row in rows if settled(self.cell, row, requests)]
        for number in self.cell.cells:
            nowhere = missing(self.cell, number, [row.instance_uuid for row in found])
            found = [row for row in found if row.instance_uuid in nowhere]
        return found

    def differences(self, rows: Sequence[Any]) -> list[Difference]:
        """Return strays as differences, with the reason if they must be left."""
        why = "no cell has its instance"
        if obstacle := self.obstacle():
            why = f"no cell that can be asked has its instance; left because {obstacle}"
        return [
            Difference(kind=Kind.STRAY, uuid=row.instance_uuid, why=why) for row in rows
        ]

    def obstacle(self) -> str:
        """Return why a cell may have instances of strays after all, or nothing."""
        silent = self.cell.others.silent()
        reasons = [f"cell {each} cannot be asked" for each in silent]
        return "; ".join(reasons or self.displaced)

    @cached_property
    def displaced(self) -> list[str]:
        """The evidence against the databases of the other cells.

        The database of *cell* is looked at when the run starts.
        """
        others = self.cell.cells.keys() - {self.cell.mapping.id}
        found = (displaced(self.cell, self.plan, number) for number in sorted(others))
        return [str(each) for each in found if each]

    def remove(self, rows: Sequence[Any], batches: Batches | None) -> list[Difference]:
        """Delete the rows that are still as they were, and return those as differences.

        Without *batches* nothing is deleted. Raises AnotherRun.
        """
        removed = list(rows)
        if batches:
            batches.commit_prepared(partial(self.delete, rows=rows, removed=removed))
        return self.differences(removed)

    def delete(
        self,
        connection: sa.Connection,
        _stamp: datetime,
        *,
        rows: Sequence[Any],
        removed: list[Any],
    ) -> Counter[str]:
        """Delete *rows* unless nova or another repair has changed them, and count."""
        seen = {row.id: row for row in rows}
        # By id, so that two repairs do not wait for each other.
        locked = connection.execute(
            SELECT.where(
                instance_mappings.c.id.in_(seen), instance_mappings.c.cell_id.is_(None)
            )
            .order_by(instance_mappings.c.id)
            .with_for_update()
        ).all()
        requests = decide.find_build_requests(
            self.cell.api, [row.instance_uuid for row in locked]
        )
        removed[:] = [
            row
            for row in locked
            if row == seen[row.id] and row.instance_uuid not in requests
        ]
        if removed:
            ids = [row.id for row in removed]
            connection.execute(
                sa.delete(instance_mappings).where(instance_mappings.c.id.in_(ids))
            )
        return Counter({REMOVED: len(removed)})


def without_cell(cell: Cell) -> Iterator[Sequence[Any]]:
    """Yield pages of mappings without a cell, but none of nova's markers."""
    side = mappings_side(cell, None)
    for after_id, upto_id in ranges(side, cell.stopping):
        cell.keep_alive()
        rows = cell.api.read(
            SELECT.where(
                side.belongs,
                instance_mappings.c.project_id != MARKER,
                side.id > after_id,
                side.id <= upto_id,
            ).order_by(side.id)
        )
        for start in range(0, len(rows), PAGE):
            yield rows[start : start + PAGE]


def missing(cell: Cell, number: int, uuids: Sequence[str]) -> set[str]:
    """Return the uuids that the cell *number* lacks, in either spelling.

    All of them if the cell cannot be asked.
    """
    if not uuids:
        return set()
    asked = [*uuids, *(uuid.lower() for uuid in uuids)]
    found = copies(cell, number, asked)
    present = {uuid for uuid in asked if found[uuid] not in (Copy.ABSENT, Copy.UNKNOWN)}
    return {uuid for uuid in uuids if not present & {uuid, uuid.lower()}}
