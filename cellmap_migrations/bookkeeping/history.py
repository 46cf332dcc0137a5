"""What the journal tells of past runs and of those at work."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations.bookkeeping.journal import exists
from cellmap_migrations.bookkeeping.tables import COUNTS, journal

if TYPE_CHECKING:
    from cellmap_migrations.databases.database import Database


# A batch takes half a second, so a run that is silent for longer than this has ended,
# or compares, or waits.
LATELY = timedelta(seconds=60)


@dataclass(frozen=True, kw_only=True)
class Run:
    """What one process did for one revision of a cell; times are UTC."""

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
    # Whether it ended by letting the next run walk from the start, as after a reset.
    rewound: bool

    @property
    def seconds(self) -> float:
        """How long it took to its last batch; stamps have no fractions of seconds."""
        return max((self.last_batch - self.began).total_seconds(), self.busy)

    @property
    def rows_per_second(self) -> int:
        """The rows that it looked at in a second."""
        return round(self.rows / self.seconds) if self.seconds else 0

    def seconds_left(self, highest_id: int) -> float | None:
        """Return how long the walk to *highest_id* takes at this pace, if it moves."""
        done, left = self.upto_id - self.after_id, highest_id - self.upto_id
        return self.seconds * left / done if done > 0 and left > 0 else None


@dataclass(kw_only=True)
class History:
    """Everything that was done to a cell, its runs in their order."""

    runs: list[Run] = field(default_factory=list)

    @property
    def last(self) -> Run | None:
        """The run that committed the last batch."""
        return self.runs[-1] if self.runs else None

    @property
    def batches(self) -> int:
        """The batches of all runs."""
        return sum(run.batches for run in self.runs)

    @property
    def rows(self) -> int:
        """The rows that all runs looked at."""
        return sum(run.rows for run in self.runs)

    @property
    def counts(self) -> Counter[str]:
        """The outcomes of all runs."""
        return sum((run.counts for run in self.runs), Counter())

    def active(self, now: datetime) -> bool:
        """Say whether a batch was committed in the last minute before *now*.

        A downgrade or a reset is over with its last entry.
        """
        last = self.last
        return last is not None and not last.rewound and now - last.last_batch < LATELY


def of_cells(api: Database) -> dict[str, History]:
    """Return the history of each cell that has one, by the uuid of the cell."""
    found: dict[str, History] = {}
    if not exists(api):
        return found
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
        found.setdefault(row.cell_uuid, History()).runs.append(run(row))
    return found


def run(row: Any) -> Run:
    """Return one row of the totals; MariaDB and PostgreSQL add up to decimals."""
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
    """Return every batch of a cell, revision by revision."""
    if not exists(api):
        return []
    rows = api.read(
        sa.select(journal)
        .where(journal.c.cell_uuid == cell_uuid)
        .order_by(journal.c.revision, journal.c.batch)
    )
    return [dict(row._mapping) for row in rows]  # noqa: SLF001 - see run()
