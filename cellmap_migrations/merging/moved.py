"""The journal's column ``undo``: the rows that each batch of a merge moved."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from cellmap_migrations.bookkeeping.journal import exists
from cellmap_migrations.bookkeeping.tables import journal

if TYPE_CHECKING:
    from collections.abc import Collection

    from cellmap_migrations.databases import Database

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
