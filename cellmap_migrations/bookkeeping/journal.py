"""Record each batch in ``cellmap_journal``, in the batch's own transaction.

The table is checkpoint, audit trail, progress and fence: if two runs work on one cell,
only one of them can insert the number of the next batch.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations.bookkeeping.tables import COUNTS, journal, lacking_columns
from cellmap_migrations.common.errors import TablesTooOld
from cellmap_migrations.nova.tables import instance_mappings

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence
    from datetime import datetime

    from cellmap_migrations.databases.database import Database
    from cellmap_migrations.nova.cells import CellMapping


@dataclass(frozen=True, kw_only=True)
class Pause:
    """Hold the seconds of pause before a batch, and the last reason for the pause.

    *option* is the setting that caused the pause for this reason. Reasons contain
    numbers and names; options are few.
    """

    seconds: float = 0.0
    reason: str = ""
    option: str = ""


@dataclass(frozen=True, kw_only=True)
class BatchSlot:
    """Hold the key of a batch in the journal, and the ``instances.id`` that it covers.

    *pause* is the pause before the batch.
    """

    number: int
    after_id: int
    upto_id: int
    pause: Pause = field(default_factory=Pause, compare=False)

    def next(self, upto_id: int, pause: Pause) -> BatchSlot:
        """Return the slot of the next batch, which ends at *upto_id*."""
        number = self.number + 1
        return BatchSlot(
            number=number, after_id=self.upto_id, upto_id=upto_id, pause=pause
        )


def runner() -> str:
    """Return the name of this process in the journal: host:pid."""
    return f"{socket.gethostname()[:240]}:{os.getpid()}"


def exists(api: Database) -> bool:
    """Return True if the journal's table exists.

    Raises TablesTooOld if an older version of this package created it.
    """
    existing = api.columns(journal)
    lacking = lacking_columns(journal, existing)
    if existing and lacking:
        raise TablesTooOld(journal.name, [column.name for column in lacking])
    return bool(existing)


def last_batch(api: Database, cell_uuid: str, revision: str) -> Any | None:
    """Return the last batch of *revision* in the cell, or None before the first."""
    rows = api.read(
        sa.select(journal)
        .where(journal.c.cell_uuid == cell_uuid, journal.c.revision == revision)
        .order_by(journal.c.batch.desc())
        .limit(1)
    )
    return rows[0] if rows else None


# Characters of a text in the journal.
WIDTH = 255


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

    If another run has committed the same number, this raises a duplicate key, and the
    whole batch is rolled back.
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
            pause_option=pause.option,
            runner=runner(),
            cell_database=cell_database[:WIDTH],
            undo=undo,
        )
    )


def last_database(api: Database, cell_uuid: str) -> str | None:
    """Return the database name that the cell's newest batch recorded, or None.

    Batches that did not open the cell's database are left out.
    """
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
    """Return the revisions of which the cell has batches."""
    if not exists(api):
        return []
    select = sa.select(journal.c.revision).distinct()
    return [row[0] for row in api.read(select.where(journal.c.cell_uuid == cell_uuid))]


def reached(api: Database, cell_uuids: Sequence[str]) -> dict[str, int]:
    """Return the highest ``instances.id`` of a batch with mappings, by the cell's uuid.

    A cell is left out if no batch found or inserted a mapping to it.
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
    mapping: CellMapping, revision: str | None = None
) -> sa.ColumnElement[bool]:
    """Return SQL that is true of the mappings to *cell* that *revision* inserted.

    Without a *revision* it is true of all mappings that this package inserted there.
    Their ``updated_at`` is a stamp of the journal: no other write of this package
    changes that column, and every write of nova does. A mapping that was there before
    the first insert of a second has a lower id than the mappings that were inserted
    then, and so tells nova's from ours, and one revision's from the next one's.
    """
    ours = journal.c.revision == revision if revision else sa.true()
    lowest = sa.func.min(sa.case((ours, journal.c.above_id)))
    seconds = (
        sa.select(
            journal.c.stamp,
            lowest.label("above_id"),
            sa.func.min(sa.case((~ours, journal.c.above_id))).label("others_above_id"),
        )
        .where(journal.c.cell_uuid == mapping.uuid, journal.c.mapped > 0)
        .group_by(journal.c.stamp)
        .having(lowest.is_not(None))
    ).subquery()
    return sa.and_(
        instance_mappings.c.cell_id == mapping.id,
        sa.exists().where(
            seconds.c.stamp == instance_mappings.c.updated_at,
            seconds.c.above_id < instance_mappings.c.id,
            sa.or_(
                seconds.c.others_above_id.is_(None),
                seconds.c.others_above_id < seconds.c.above_id,
                seconds.c.others_above_id >= instance_mappings.c.id,
            ),
        ),
    )
