"""Move rows of nova's mappings to another cell, and journal how to undo it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from cellmap_migrations.bookkeeping.journal import exists
from cellmap_migrations.bookkeeping.tables import journal
from cellmap_migrations.databases.codes import Fault
from cellmap_migrations.nova import cells
from cellmap_migrations.nova.rules import Outcome
from cellmap_migrations.nova.tables import host_mappings, instance_mappings

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import datetime

    from cellmap_migrations.cell.cell import Cell
    from cellmap_migrations.copying.batches import Batches, Undo, Work
    from cellmap_migrations.databases.database import Database
    from cellmap_migrations.nova.cells import CellMapping


# Hosts first: nova takes the cell of a new instance from the mapping of its host.
TABLES = {table.name: table for table in (host_mappings, instance_mappings)}

MOVED = Outcome.MOVED.value


def reassign(
    connection: sa.Connection,
    _stamp: datetime,
    *,
    table: sa.Table,
    ids: Collection[int],
    origin: int,
    target: int,
) -> Counter[str]:
    """Give the rows that still have the cell *origin* the cell *target*; count them.

    ``updated_at`` stays: it tells which rows this package inserted.
    """
    result = connection.execute(
        sa.update(table)
        .where(table.c.id.in_(ids), table.c.cell_id == origin)
        .values(cell_id=target)
    )
    return Counter({MOVED: result.rowcount})


def commit(
    batches: Batches, prepare: Callable[[], Work], undo: Undo, target: CellMapping
) -> int:
    """Commit one batch that gives rows the cell *target*; return how many.

    Raises AnotherRun, or CellGone if somebody deleted the cell meanwhile.
    """
    api = batches.cell.api
    try:
        return batches.perform(prepare, batches.upto_id, undo)[MOVED]
    except api.errors as error:
        if api.backend.fault(error) is not Fault.DATA:
            raise
        batches.committed()
        cells.refuse_gone(api, target)
        raise


def tell(cell: Cell, verb: str, counts: Counter[str]) -> None:
    """Put into the report how many rows of each table were moved."""
    cell.report.results += [
        f"{verb:<18}{name:<18}{counts[name]:>9,}" for name in TABLES if counts[name]
    ]
    cell.report.details |= {
        "moved_mappings": {name: counts[name] for name in TABLES},
    }


MERGE = "merge"

# Rows in a batch. A text of MySQL has 64 KiB, and an id with its comma 11 characters.
MOST = 5_000


@dataclass(frozen=True, kw_only=True)
class Moved:
    """The rows that one batch moved from *duplicate*, a uuid, by their ids."""

    table: str
    duplicate: str
    ids: Collection[int]

    def as_text(self) -> str:
        """Return the text for the journal."""
        found = {"table": self.table, "from": self.duplicate, "ids": ranges(self.ids)}
        return json.dumps(found)


def undid(batch: int) -> str:
    """Return the text for the journal of the batch that undoes *batch*."""
    return json.dumps({"undid": batch})


def undoes(text: str) -> bool:
    """Return True if the batch with this *text* in the journal undoes another one."""
    return "undid" in json.loads(text)


def not_undone(api: Database, kept: str) -> dict[int, Moved]:
    """Return the batches of merges into the cell *kept*, the last one first.

    Without those that were undone.
    """
    if not exists(api):
        return {}
    rows = api.read(
        sa.select(journal.c.batch, journal.c.undo)
        .where(journal.c.cell_uuid == kept, journal.c.revision == MERGE)
        .order_by(journal.c.batch.desc())
    )
    found = {row.batch: json.loads(row.undo) for row in rows}
    undone = {entry["undid"] for entry in found.values() if "undid" in entry}
    return {
        batch: Moved(
            table=entry["table"], duplicate=entry["from"], ids=numbers(entry["ids"])
        )
        for batch, entry in found.items()
        if "undid" not in entry and batch not in undone
    }


def ranges(ids: Collection[int]) -> str:
    """Return *ids* as text, in their order: ``1-500,502``."""
    found: list[list[int]] = []
    for number in sorted(ids):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ",".join(
        f"{first}-{last}" if first < last else f"{first}" for first, last in found
    )


def numbers(text: str) -> list[int]:
    """Return the ids of a text that ``ranges`` made."""
    found: list[int] = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found
