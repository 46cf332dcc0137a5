"""Move mappings of instances and hosts to another cell, and record how to undo it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from cellmap_migrations.bookkeeping.journal import exists
from cellmap_migrations.bookkeeping.tables import journal
from cellmap_migrations.copying import write
from cellmap_migrations.databases.codes import Fault
from cellmap_migrations.nova import cells
from cellmap_migrations.nova.rules import Outcome
from cellmap_migrations.nova.tables import host_mappings, instance_mappings

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import datetime

    from cellmap_migrations.cell.cell import Cell
    from cellmap_migrations.copying.batches import Batches, Undo, Write
    from cellmap_migrations.databases.database import Database
    from cellmap_migrations.nova.cells import CellMapping


# Hosts first: nova gives a new instance the cell of its host's mapping.
TABLES = {table.name: table for table in (host_mappings, instance_mappings)}

MOVED = Outcome.MOVED.value


def reassign(
    connection: sa.Connection,
    _stamp: datetime,
    *,
    table: sa.Table,
    ids: Sequence[int],
    origin: int,
    target: int,
) -> Counter[str]:
    """Set the cell *target* in rows that have the cell *origin*; return their count.

    ``updated_at`` is left as it is: it marks the mappings that this package inserted.
    """
    update = sa.update(table).where(table.c.cell_id == origin).values(cell_id=target)
    return Counter({MOVED: write.execute_among(connection, update, table.c.id, ids)})


def commit(
    batches: Batches, prepare: Callable[[], Write], undo: Undo, target: CellMapping
) -> int:
    """Commit one batch that gives rows the cell *target*; return their number.

    Raises AnotherRun, or CellGone if the target was deleted meanwhile.
    """
    api = batches.cell.api
    try:
        return batches.commit(prepare, batches.upto_id, undo)[MOVED]
    except api.errors as error:
        if api.backend.fault(error) is not Fault.DATA:
            raise
        batches.committed()
        cells.refuse_gone(api, target)
        raise


def report_counts(cell: Cell, verb: str, counts: Counter[str]) -> None:
    """Report the number of rows of each table after a *verb* such as "moved"."""
    cell.report.results.extend(
        f"{verb:<18}{name:<18}{counts[name]:>9,}" for name in TABLES if counts[name]
    )
    cell.report.details["moved_mappings"] = {name: counts[name] for name in TABLES}


# The revision of the journal under which a merge is recorded.
MERGE = "merge"

# The most rows in a batch: a TEXT of MySQL has 64 KiB, and an id with its comma has up
# to 11 characters.
MOST = 5_000


@dataclass(frozen=True, kw_only=True)
class Moved:
    """Hold the rows that one batch moved from *duplicate*, the uuid of a cell."""

    table: str
    duplicate: str
    ids: Sequence[int]

    def as_text(self) -> str:
        """Return the JSON for the journal."""
        entry = {"table": self.table, "from": self.duplicate, "ids": ranges(self.ids)}
        return json.dumps(entry)


def undid(batch: int) -> str:
    """Return the JSON for the journal entry of the batch that undoes *batch*."""
    return json.dumps({"undid": batch})


def undoes(text: str) -> bool:
    """Return True if the batch with this *text* in the journal undoes another one."""
    return "undid" in json.loads(text)


def not_undone(api: Database, kept: str) -> dict[int, Moved]:
    """Return the rows that merges moved to the cell *kept*, by batch, the last first.

    Batches that were undone are left out.
    """
    if not exists(api):
        return {}
    rows = api.read(
        sa.select(journal.c.batch, journal.c.undo)
        .where(journal.c.cell_uuid == kept, journal.c.revision == MERGE)
        .order_by(journal.c.batch.desc())
    )
    entries = {row.batch: json.loads(row.undo) for row in rows}
    undone = {entry["undid"] for entry in entries.values() if "undid" in entry}
    return {
        batch: Moved(
            table=entry["table"], duplicate=entry["from"], ids=numbers(entry["ids"])
        )
        for batch, entry in entries.items()
        if "undid" not in entry and batch not in undone
    }


def ranges(ids: Collection[int]) -> str:
    """Return sorted *ids* as text: ``1-500,502``."""
    spans: list[list[int]] = []
    for number in sorted(ids):
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(
        f"{first}-{last}" if first < last else f"{first}" for first, last in spans
    )


def numbers(text: str) -> list[int]:
    """Return the ids in a text of ``ranges``."""
    ids: list[int] = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        ids += range(int(first), int(last or first) + 1)
    return ids
