"""Settle rows of the cell: decide about each, and commit what that takes."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from cellmap_migrations.backends import DATABASE_ERRORS, Fault
from cellmap_migrations.copying import write
from cellmap_migrations.copying.judge import judge
from cellmap_migrations.copying.refusal import refuse_table
from cellmap_migrations.driver_errors import message
from cellmap_migrations.outcomes import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellmap_migrations.copying.batches import Batches, Work
    from cellmap_migrations.copying.plans import Plan
    from cellmap_migrations.outcomes import Instance, Verdict


def settle(
    batches: Batches, plan: Plan, rows: Sequence[Instance], upto_id: int
) -> list[Verdict]:
    """Decide about *rows*, commit what that takes, and return the verdicts.

    The journal then says that the cell is done up to *upto_id*. Rows that the
    database refuses are halved until the bad one is alone, and that one is rejected
    with the database's message. Raises TableRefuses if the table refuses every row.
    """
    try:
        return commit(batches, plan, rows, upto_id)
    except DATABASE_ERRORS as error:
        if batches.cell.api.backend.fault(error) is not Fault.DATA:
            raise
        batches.committed()
        refuse_table(batches.cell, plan, error)
        if len(rows) == 1:
            return commit(batches, plan, rows, upto_id, refused=message(error))
    middle = len(rows) // 2
    first, second = rows[:middle], rows[middle:]
    reached = max(batches.upto_id, min(first[-1].id, upto_id))
    done = settle(batches, plan, first, reached)
    return done + settle(batches, plan, second, upto_id)


def commit(
    batches: Batches,
    plan: Plan,
    rows: Sequence[Instance],
    upto_id: int,
    *,
    refused: str = "",
) -> list[Verdict]:
    """Settle *rows* in one batch.

    *refused* is what the database said of the one row when it was to be inserted.
    """
    verdicts: list[Verdict] = []

    def decide() -> Work:
        nonlocal verdicts
        verdicts = judge(batches.cell, plan, rows)
        if refused:
            verdicts = [reject(verdict, refused) for verdict in verdicts]
        return partial(
            write.write,
            backend=batches.cell.api.backend,
            verdicts=verdicts,
            cell_id=batches.cell.mapping.id,
        )

    batches.perform(decide, upto_id)
    return verdicts


def reject(verdict: Verdict, why: str) -> Verdict:
    """Return the verdict for a row that the database refused.

    The look at its mapping and the refused INSERT were apart: a mapping that nova
    made in between is found by now, and then the row is not to be inserted any more.
    """
    if verdict.outcome is not Outcome.MAPPED:
        return verdict
    return replace(verdict, outcome=Outcome.REJECTED, why=why)
