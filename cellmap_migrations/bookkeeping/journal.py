"""Record each committed batch in ``cellmap_journal``, in the batch's transaction.

The table is checkpoint, audit trail, progress and fence: of two runs that work on one
cell, only one can insert a batch's number.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations.bookkeeping.tables import COUNTS, journal, lacking
from cellmap_migrations.common.errors import TablesTooOld
from cellmap_migrations.nova.tables import instance_mappings

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence
    from datetime import datetime

    from cellmap_migrations.databases.database import Database
    from cellmap_migrations.nova.cells import CellMapping


# Characters of a text in the journal.
WIDTH = 255


@dataclass(frozen=True, kw_only=True)
class Pause:
    """Seconds of pause before a batch, and the last reason for it."""

    seconds: float = 0.0
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class BatchSlot:
    """Where a batch stands in the journal: its number, and the ids that it covers.

    There may have been a *pause* before it.
    """

    number: int
    after_id: int
    upto_id: int
    pause: Pause = field(default_factory=Pause, compare=False)

    def next(self, upto_id: int, pause: Pause) -> BatchSlot:
        """Return the place behind this one, after a *pause*."""
        number = self.number + 1
        return BatchSlot(
            number=number, after_id=self.upto_id, upto_id=upto_id, pause=pause
        )


def runner() -> str:
    """Return who this process is, as it stands in the journal: host:pid."""
    return f"{socket.gethostname()[:240]}:{os.getpid()}"


def exists(api: Database) -> bool:
    """Return True if anything was ever recorded; raise TablesTooOld if that is old."""
    have = api.columns(journal)
    missing = lacking(journal, have)
    if have and missing:
        raise TablesTooOld(journal.name, [column.name for column in missing])
    return bool(have)


def last(api: Database, cell_uuid: str, revision: str) -> Any | None:
    """Return the last batch of *revision* in the cell, or None before the first."""
    rows = api.read(
        sa.select(journal)
        .where(journal.c.cell_uuid == cell_uuid, journal.c.revision == revision)
        .order_by(journal.c.batch.desc())
        .limit(1)
    )
    return rows[0] if rows else None


def append(
    connection: sa.Connection,
    *,
    cell_uuid: str,
    revision: str,
    batch: int,
    after_id: int,
    upto_id: int,
    counts: Counter[str],
    seconds: float,
    stamp: datetime,
    above_id: int,
    pause: Pause,
    cell_database: str,
    undo: str | None,
) -> None:
    """Insert a batch's entry in the transaction of *connection*.

    A second run that is at the same batch gets a duplicate key here, and that undoes
    its whole batch.
    """
    connection.execute(
        sa.insert(journal).values(
            cell_uuid=cell_uuid,
            revision=revision,
            batch=batch,
            after_id=after_id,
            upto_id=upto_id,
            rows_read=sum(counts[name] for name in COUNTS),
            **{name: counts[name] for name in COUNTS},
            started_at=stamp,
            seconds=seconds,
            stamp=stamp,
            above_id=above_id,
            paused=pause.seconds,
            pause_reason=pause.reason[:WIDTH],
            runner=runner(),
            cell_database=cell_database[:WIDTH],
            undo=undo,
        )
    )


def last_database(api: Database, cell_uuid: str) -> str | None:
    """Return the cell's database at its last batch that opened it, or None."""
    if not exists(api):
        return None
    rows = api.read(
        sa.select(journal.c.cell_database)
        .where(journal.c.cell_uuid == cell_uuid, journal.c.cell_database != "")
        .order_by(journal.c.stamp.desc(), journal.c.batch.desc())
        .limit(1)
    )
    return str(rows[0][0]) if rows else None


def revisions(api: Database, cell_uuid: str) -> list[str]:
    """Return the revisions that have batches in the cell."""
    if not exists(api):
        return []
    select = sa.select(journal.c.revision).distinct()
    return [row[0] for row in api.read(select.where(journal.c.cell_uuid == cell_uuid))]


def reached(api: Database, cell_uuids: Sequence[str]) -> dict[str, int]:
    """Return the highest ``instances.id`` of a batch with mappings, by the cell.

    A cell has none if its batches found no instance that has or gets a mapping to it.
    """
    if not exists(api):
        return {}
    select = sa.select(journal.c.cell_uuid, sa.func.max(journal.c.upto_id)).where(
        journal.c.cell_uuid.in_(cell_uuids),
        sa.or_(journal.c.mapped > 0, journal.c.already > 0),
    )
    rows = api.read(select.group_by(journal.c.cell_uuid))
    return {str(row[0]): int(row[1]) for row in rows}


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
