"""Find and remove strays: mappings without a cell whose instance is in no cell.

A stray belongs to no cell. So the check of each cell names all strays, and the repair
of any cell removes all, as it removes the markers of nova's ``map_instances``.
"""

from __future__ import annotations

from collections import Counter
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations.bookkeeping.tables import REMOVED
from cellmap_migrations.comparing.checksums import mappings_side, ranges
from cellmap_migrations.comparing.differences import Difference, Kind
from cellmap_migrations.comparing.evidence import copies_in, find_displaced
from cellmap_migrations.comparing.gate import Gate
from cellmap_migrations.comparing.orphans import is_settled
from cellmap_migrations.copying import decide, write
from cellmap_migrations.databases.among import parts, read_among, reader
from cellmap_migrations.nova.rules import Copy
from cellmap_migrations.nova.tables import MARKER, instance_mappings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from cellmap_migrations.cell.cell import Cell
    from cellmap_migrations.copying.batches import Batches
    from cellmap_migrations.copying.plan import Plan


class Strays:
    """Find and remove the strays of the cloud in a run on *cell*."""

    def __init__(self, cell: Cell, plan: Plan) -> None:
        self.cell, self.plan = cell, plan

    def pages(self) -> Iterator[list[Any]]:
        """Yield pages of strays, as rows. No cell is asked if none is possible."""
        for rows in pages_without_cell(self.cell):
            if strays := self.cell.api.retry(partial(self.choose, rows)):
                yield strays

    def choose(self, rows: Sequence[Any]) -> list[Any]:
        """Return the *rows* that are strays. A cell that cannot be asked has none."""
        uuids = [row.instance_uuid for row in rows]
        requests = decide.find_build_requests(self.cell.api, uuids)
        strays = [row for row in rows if is_settled(self.cell, row, requests)]
        for number in self.cell.cells:
            uuids = [row.instance_uuid for row in strays]
            absent = absent_or_unknown(self.cell, number, uuids)
            strays = [row for row in strays if row.instance_uuid in absent]
        return strays

    def differences(self, rows: Sequence[Any]) -> list[Difference]:
        """Convert strays to differences, with the reason if they must be left."""
        why = "no cell has its instance"
        if obstacle := self.obstacle():
            why = f"no cell that can be asked has its instance; left because {obstacle}"
        return [
            Difference(kind=Kind.STRAY, uuid=row.instance_uuid, why=why) for row in rows
        ]

    def obstacle(self) -> str:
        """Return why a cell may have an instance of a stray, or an empty text."""
        silent = self.cell.others.silent()
        reasons = [f"cell {each} cannot be asked" for each in silent]
        return "; ".join(reasons or self.displaced_cells)

    @cached_property
    def displaced_cells(self) -> list[str]:
        """Return the evidence against the databases of the other cells.

        The database of *cell* itself was examined when the run started.
        """
        others = sorted(self.cell.cells.keys() - {self.cell.mapping.id})
        evidence = (find_displaced(self.cell, self.plan, number) for number in others)
        return [str(displaced) for displaced in evidence if displaced]

    def remove(self, rows: Sequence[Any], batches: Batches | None) -> list[Difference]:
        """Delete strays that have not changed, and return them as differences.

        Without *batches*, in a dry run, no row is deleted. Raises AnotherRun.
        """
        removed = list(rows)
        if batches:
            delete = partial(self.delete_rows, rows=rows, removed=removed)
            batches.commit_prepared(delete)
        return self.differences(removed)

    def delete_rows(
        self,
        connection: sa.Connection,
        _stamp: datetime,
        *,
        rows: Sequence[Any],
        removed: list[Any],
    ) -> Counter[str]:
        """Delete the *rows* that nova or another repair has not changed; count them.

        *removed* becomes the list of the deleted rows.
        """
        seen = {row.id: row for row in rows}
        # In the order of ids, so that two repairs do not deadlock.
        locked = read_among(
            reader(connection),
            SELECT.where(instance_mappings.c.cell_id.is_(None))
            .order_by(instance_mappings.c.id)
            .with_for_update(),
            instance_mappings.c.id,
            sorted(seen),
        )
        uuids = [row.instance_uuid for row in locked]
        requests = decide.find_build_requests(self.cell.api, uuids)
        removed[:] = [
            row
            for row in locked
            if row == seen[row.id] and row.instance_uuid not in requests
        ]
        ids = [row.id for row in removed]
        delete = sa.delete(instance_mappings)
        write.change(connection, delete, instance_mappings.c.id, ids)
        return Counter({REMOVED: len(removed)})


SELECT = sa.select(
    instance_mappings.c.id,
    instance_mappings.c.instance_uuid,
    instance_mappings.c.created_at,
    instance_mappings.c.updated_at,
)


def pages_without_cell(cell: Cell) -> Iterator[Sequence[Any]]:
    """Yield pages of mappings without a cell, without nova's markers."""
    side = mappings_side(cell, None)
    for after_id, upto_id in ranges(side, Gate(cell)):
        rows = cell.api.read(
            SELECT.where(
                side.belongs,
                instance_mappings.c.project_id != MARKER,
                side.id > after_id,
                side.id <= upto_id,
            ).order_by(side.id)
        )
        yield from parts(rows)


def absent_or_unknown(cell: Cell, number: int, uuids: Sequence[str]) -> set[str]:
    """Return the uuids that the cell *number* lacks, as they are and in lower case.

    All are returned if the cell cannot be asked.
    """
    if not uuids:
        return set()
    asked = [*uuids, *(uuid.lower() for uuid in uuids)]
    copies = copies_in(cell, number, asked)
    unseen = (Copy.ABSENT, Copy.UNKNOWN)
    present = {uuid for uuid in asked if copies[uuid] not in unseen}
    return {uuid for uuid in uuids if not present & {uuid, uuid.lower()}}
