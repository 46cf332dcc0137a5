"""Commit batches: each one's rows and its journal entry in one transaction."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations.bookkeeping import journal
from cellmap_migrations.bookkeeping.tables import MENDED, REMOVED
from cellmap_migrations.copying.judge import utcnow
from cellmap_migrations.errors import AnotherRun
from cellmap_migrations.outcomes import WRITTEN
from cellmap_migrations.schema import instance_mappings

if TYPE_CHECKING:
    from datetime import datetime

    from cellmap_migrations.cell import Cell


# The counts of rows that a batch changed.
CHANGES = {outcome.value for outcome in WRITTEN} | {MENDED, REMOVED}

HIGHEST = sa.select(sa.func.max(instance_mappings.c.id))

# Writes a batch in a transaction, given its stamp, and returns the journal's counts.
Work = Callable[[sa.Connection, "datetime"], Counter[str]]


class Batches:
    """Knows the last batch of a revision in a cell, and commits the next one."""

    def __init__(self, cell: Cell, revision: str) -> None:
        """Go on after the last batch in the journal."""
        self.cell, self.revision = cell, revision
        last = self.last()
        self.number = last.batch if last else 0
        self.upto_id = last.upto_id if last else 0

    def last(self) -> Any | None:
        """Return the last entry of the revision in the journal."""
        return journal.last(self.cell.api, self.cell.mapping.uuid, self.revision)

    def do(self, work: Work) -> Counter[str]:
        """Do one batch that needs no look beforehand and moves no checkpoint."""
        return self.perform(lambda: work, self.upto_id)

    def perform(self, prepare: Callable[[], Work], upto_id: int) -> Counter[str]:
        """Do one batch: what *prepare* returns, and its journal entry, or neither.

        *prepare* looks without a transaction. What it returns is given a connection
        in a transaction and the batch's stamp, and returns the journal's counts. Both
        are done again, from the look on, after an error that may pass. A batch that
        changes nothing and moves no checkpoint is not recorded.
        """
        counts: Counter[str] = Counter()
        tried = False

        def attempt() -> bool:
            nonlocal counts, tried
            # After a lost answer to COMMIT only the journal knows how it ended.
            if tried and self.committed(upto_id):
                return True
            tried = True
            started, stamp = time.monotonic(), utcnow()
            work = prepare()
            with self.cell.api.engine.begin() as connection:
                above_id = connection.scalar(HIGHEST) or 0
                counts = work(connection, stamp)
                # A row refused again was counted when the walk came by.
                if upto_id == self.upto_id and not CHANGES & (+counts).keys():
                    return False
                journal.append(
                    connection,
                    cell_uuid=self.cell.mapping.uuid,
                    revision=self.revision,
                    batch=self.number + 1,
                    after_id=self.upto_id,
                    upto_id=upto_id,
                    counts=counts,
                    seconds=time.monotonic() - started,
                    stamp=stamp,
                    above_id=above_id,
                )
            return True

        if self.cell.api.again(attempt):
            self.number += 1
            self.upto_id = upto_id
        self.cell.report.count(counts)
        return counts

    def rewind(self) -> None:
        """Let the next run walk from the start; the stamps of the past stay known."""
        if self.upto_id:
            self.perform(lambda: lambda _connection, _stamp: Counter(), 0)

    def committed(self, upto_id: int | None = None) -> bool:
        """Say whether the batch in hand, up to *upto_id*, is in the journal.

        Raises AnotherRun if another run's batch is there in its place.
        """
        last = self.last()
        if last is None or last.batch <= self.number:
            return False
        ours = (self.number + 1, upto_id, journal.runner())
        if (last.batch, last.upto_id, last.runner) != ours:
            raise AnotherRun(str(self.cell.mapping), last.batch, last.runner)
        return True
