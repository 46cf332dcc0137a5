"""Read from the journal what past and present runs did to each cell."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations.bookkeeping.journal import exists
from cellmap_migrations.bookkeeping.tables import COUNTS, journal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellmap_migrations.databases.database import Database


@dataclass(frozen=True, kw_only=True)
class Run:
    """Sum up the batches that one process committed for one revision of a cell.

    Times are UTC. *busy* is the sum of the seconds of all batches.
    """

    revision: str
    runner: str
    batches: int
    rows: int
    counts: Counter[str]
    after_id: int
    upto_id: int
    began: datetime
    last_batch: datetime
    busy: float
    # True if the last batch lets the next run walk from the start, as a reset does.
    rewound: bool

    @property
    def seconds(self) -> float:
        """Return the seconds from the first to the last batch, and at least *busy*.

        The times of two batches are whole seconds, so their difference may be 0.
        """
        return max((self.last_batch - self.began).total_seconds(), self.busy)

    @property
    def rows_per_second(self) -> int:
        """Return the rows that the run read per second."""
        return round(self.rows / self.seconds) if self.seconds else 0

    def seconds_left(self, highest_id: int) -> float | None:
        """Estimate the seconds of the walk from here to *highest_id*.

        Returns None if the walk has not advanced, or has reached that id.
        """
        done, left = self.upto_id - self.after_id, highest_id - self.upto_id
        return self.seconds * left / done if done > 0 and left > 0 else None


# A batch takes half a second. A run that committed none for this long has ended, or it
# compares or pauses.
LATELY = timedelta(seconds=60)

# The option of a pause that an older version of this package recorded without one.
UNKNOWN = "unknown"


@dataclass(kw_only=True)
class History:
    """Hold the runs of a cell, in the order of their last batches.

    *paused* has the seconds of pause by the option that caused them, or UNKNOWN. All
    seconds before a batch belong to the last option that made the run wait for that
    batch.
    """

    runs: list[Run] = field(default_factory=list)
    paused: dict[str, float] = field(default_factory=dict)

    @property
    def last(self) -> Run | None:
        """Return the run that committed the last batch, or None."""
        return self.runs[-1] if self.runs else None

    @property
    def batches(self) -> int:
        """Return the number of batches of all runs."""
        return sum(run.batches for run in self.runs)

    @property
    def rows(self) -> int:
        """Return the number of rows that all runs read."""
        return sum(run.rows for run in self.runs)

    @property
    def counts(self) -> Counter[str]:
        """Return the counts of all runs, by outcome."""
        return sum((run.counts for run in self.runs), Counter())

    @property
    def busy(self) -> float:
        """Return the sum of the seconds of all batches."""
        return sum(run.busy for run in self.runs)

    def active(self, now: datetime) -> bool:
        """Guess whether a run is at work: True if it committed a batch lately.

        That is in the 60 seconds before *now*. A downgrade or a reset ends with its
        last batch.
        """
        last = self.last
        return last is not None and not last.rewound and now - last.last_batch < LATELY


def of_cells(api: Database) -> dict[str, History]:
    """Return the history of each cell that has batches, by the uuid of the cell."""
    histories: dict[str, History] = {}
    if not exists(api):
        return histories
    group = (journal.c.cell_uuid, journal.c.revision, journal.c.runner)
    last_batch = sa.func.max(journal.c.started_at).label("last_batch")
    last_number = sa.func.max(journal.c.batch)
    back = sa.and_(journal.c.upto_id == 0, journal.c.after_id > 0)
    rows = api.read(
        sa.select(
            *group,
            sa.func.count().label("batches"),
            sa.func.sum(journal.c.rows_read).label("rows_read"),
            *(sa.func.sum(journal.c[name]).label(name) for name in COUNTS),
            sa.func.min(journal.c.after_id).label("after_id"),
            sa.func.max(journal.c.upto_id).label("upto_id"),
            sa.func.min(journal.c.started_at).label("began"),
            last_batch,
            sa.func.sum(journal.c.seconds).label("busy"),
            last_number.label("last_number"),
            sa.func.max(sa.case((back, journal.c.batch))).label("last_back"),
        )
        .group_by(*group)
        .order_by(last_batch, last_number)
    )
    for row in rows:
        histories.setdefault(row.cell_uuid, History()).runs.append(as_run(row))
    for cell_uuid, option, seconds in paused(api):
        history = histories.setdefault(cell_uuid, History())
        history.paused[option or UNKNOWN] = float(seconds)
    return histories


def paused(api: Database) -> Sequence[Any]:
    """Return rows of a cell's uuid, an option, and the seconds of pause it caused.

    The option is empty for batches of an older version of this package.
    """
    group = (journal.c.cell_uuid, journal.c.pause_option)
    return api.read(
        sa.select(*group, sa.func.sum(journal.c.paused))
        .where(journal.c.paused > 0)
        .group_by(*group)
        .order_by(*group)
    )


def as_run(row: Any) -> Run:
    """Convert a row of totals to a Run.

    MariaDB and PostgreSQL return sums of integers as decimals.
    """
    values = row._mapping  # noqa: SLF001 - SQLAlchemy's name for a public thing
    return Run(
        revision=row.revision,
        runner=row.runner,
        batches=row.batches,
        rows=int(row.rows_read),
        counts=Counter({name: int(values[name]) for name in COUNTS}),
        after_id=row.after_id,
        upto_id=row.upto_id,
        began=row.began,
        last_batch=row.last_batch,
        busy=float(row.busy),
        rewound=row.last_back == row.last_number,
    )


def batches(api: Database, cell_uuid: str) -> list[dict[str, Any]]:
    """Return every batch of a cell, ordered by revision and number."""
    if not exists(api):
        return []
    rows = api.read(
        sa.select(journal)
        .where(journal.c.cell_uuid == cell_uuid)
        .order_by(journal.c.revision, journal.c.batch)
    )
    return [dict(row._mapping) for row in rows]  # noqa: SLF001 - see as_run()
