"""Commit batches: each one's rows and its journal entry in one transaction."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import sqlalchemy as sa

from cellmap_migrations.backends import DATABASE_ERRORS, Fault
from cellmap_migrations.bookkeeping import journal
from cellmap_migrations.bookkeeping.tables import journal as journal_table
from cellmap_migrations.copying import write
from cellmap_migrations.copying.judge import judge, utcnow
from cellmap_migrations.databases import message
from cellmap_migrations.errors import AnotherRun
from cellmap_migrations.outcomes import Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellmap_migrations.cell import Cell
    from cellmap_migrations.copying.plan import Plan
    from cellmap_migrations.outcomes import Instance


class Batches:
    """Knows the last batch of a revision in a cell, and commits the next one."""

    def __init__(self, cell: Cell, plan: Plan) -> None:
        """Go on after the last batch in the journal."""
        self.cell, self.plan = cell, plan
        last = journal.last(cell.api, cell.mapping.uuid, plan.revision)
        self.number = last.batch if last else 0
        self.upto_id = last.upto_id if last else 0
        self.runner = journal.runner()

    def settle(self, rows: Sequence[Instance], upto_id: int) -> list[Verdict]:
        """Decide about *rows*, commit what that takes, and return the verdicts.

        The journal then says that the cell is done up to *upto_id*. Rows that the
        database refuses are halved until the bad one is alone, and rejected with the
        database's message.
        """
        try:
            return self.commit(rows, upto_id)
        except DATABASE_ERRORS as error:
            if self.cell.api.backend.fault(error) is not Fault.DATA or not rows:
                raise
            self.yield_to_another_run()
            if len(rows) == 1:
                return self.commit(rows, upto_id, refused=message(error))
        middle = len(rows) // 2
        first, second = rows[:middle], rows[middle:]
        done = self.settle(first, max(self.upto_id, min(first[-1].id, upto_id)))
        return done + self.settle(second, upto_id)

    def commit(
        self, rows: Sequence[Instance], upto_id: int, refused: str = ""
    ) -> list[Verdict]:
        """Decide about *rows* and commit, trying again what may pass.

        *refused* is what the database said of the one row when it was to be inserted.
        """
        verdicts: list[Verdict] = []
        tried = False

        def attempt() -> None:
            nonlocal verdicts, tried
            # After a lost answer to COMMIT only the journal knows how it ended.
            if tried and self.committed(upto_id):
                return
            tried = True
            started = time.monotonic()
            verdicts = judge(self.cell, self.plan, rows)
            if refused:
                verdicts = [reject(verdict, refused) for verdict in verdicts]
            self.transact(verdicts, upto_id, started)

        self.cell.api.again(attempt)
        self.number += 1
        self.upto_id = upto_id
        self.cell.report.count(verdicts)
        return verdicts

    def transact(
        self, verdicts: Sequence[Verdict], upto_id: int, started: float
    ) -> None:
        """Write the verdicts and their journal entry in one transaction."""
        stamp = utcnow()
        counts = Counter(verdict.outcome for verdict in verdicts)
        with self.cell.api.engine.begin() as connection:
            write.write(connection, verdicts, cell_id=self.cell.mapping.id, stamp=stamp)
            connection.execute(
                sa.insert(journal_table).values(
                    cell_uuid=self.cell.mapping.uuid,
                    revision=self.plan.revision,
                    batch=self.number + 1,
                    after_id=self.upto_id,
                    upto_id=upto_id,
                    rows_read=len(verdicts),
                    **{outcome.value: counts[outcome] for outcome in Outcome},
                    started_at=stamp,
                    seconds=time.monotonic() - started,
                    stamp=stamp,
                    runner=self.runner,
                )
            )

    def rewind(self) -> None:
        """Let the next run walk from the start; the stamps of the past stay known."""
        if self.upto_id:
            self.commit([], 0)

    def committed(self, upto_id: int) -> bool:
        """Say whether our batch is in the journal; raise AnotherRun for another's."""
        last = journal.last(self.cell.api, self.cell.mapping.uuid, self.plan.revision)
        if last is None or last.batch <= self.number:
            return False
        if (last.batch, last.upto_id, last.runner) == (
            self.number + 1,
            upto_id,
            self.runner,
        ):
            return True
        raise AnotherRun(str(self.cell.mapping), last.batch, last.runner)

    def yield_to_another_run(self) -> None:
        """Raise AnotherRun if the journal has the number of the batch in hand."""
        last = journal.last(self.cell.api, self.cell.mapping.uuid, self.plan.revision)
        if last is not None and last.batch > self.number:
            raise AnotherRun(str(self.cell.mapping), last.batch, last.runner)


def reject(verdict: Verdict, why: str) -> Verdict:
    """Return the verdict for a row that the database refused.

    The look at its mapping and the refused INSERT were apart: a mapping that nova
    made in between is found by now, and then the row is not to be inserted any more.
    """
    if verdict.outcome is not Outcome.MAPPED:
        return verdict
    return replace(verdict, outcome=Outcome.REJECTED, why=why)
