"""Commit rows that the database refused as a page, and find the row at fault."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

import sqlalchemy as sa

from cellmap_migrations.common.sentences import TableRefuses
from cellmap_migrations.copying import write
from cellmap_migrations.copying.decide import decide_rows
from cellmap_migrations.databases.base import DATABASE_ERRORS, driver_error
from cellmap_migrations.databases.codes import Fault, constraint
from cellmap_migrations.databases.database import message
from cellmap_migrations.nova import cells
from cellmap_migrations.nova.rules import Instance, Outcome, Verdict
from cellmap_migrations.nova.tables import instance_mappings, utcnow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellmap_migrations.cell.cell import Cell
    from cellmap_migrations.copying.batches import Batches, Write
    from cellmap_migrations.copying.plan import Plan
    from cellmap_migrations.databases.database import Database


def commit_rows(
    batches: Batches, plan: Plan, rows: Sequence[Instance], upto_id: int
) -> list[Verdict]:
    """Decide about *rows*, commit them, and return the verdicts.

    The checkpoint moves to *upto_id*. If the database refuses the rows, each half is
    committed by itself, until the bad row is alone. That row is rejected with the
    database's message. Raises TableRefuses if the table refuses every row.
    """
    try:
        return commit_batch(batches, plan, rows, upto_id)
    except DATABASE_ERRORS as error:
        if batches.cell.api.backend.fault(error) is not Fault.DATA:
            raise
        batches.committed()
        refuse_table(batches.cell, plan, error)
        if len(rows) == 1:
            return commit_batch(batches, plan, rows, upto_id, refused=message(error))
    middle = len(rows) // 2
    first, second = rows[:middle], rows[middle:]
    reached = max(batches.upto_id, min(first[-1].id, upto_id))
    verdicts = commit_rows(batches, plan, first, reached)
    return verdicts + commit_rows(batches, plan, second, upto_id)


def commit_batch(
    batches: Batches,
    plan: Plan,
    rows: Sequence[Instance],
    upto_id: int,
    *,
    refused: str = "",
) -> list[Verdict]:
    """Decide about *rows*, commit them in one batch, and return the verdicts.

    *refused* is the database's message for a single row that it refused before.
    """
    verdicts: list[Verdict] = []

    def prepare() -> Write:
        nonlocal verdicts
        verdicts = decide_rows(batches.cell, plan, rows)
        if refused:
            verdicts = [reject(verdict, refused) for verdict in verdicts]
        return partial(
            write.write_verdicts,
            backend=batches.cell.api.backend,
            verdicts=verdicts,
            cell_id=batches.cell.mapping.id,
        )

    batches.commit(prepare, upto_id)
    return verdicts


def reject(verdict: Verdict, why: str) -> Verdict:
    """Return REJECTED for a row to be inserted, and any other verdict as it is.

    nova may have inserted a mapping between the read and the refused INSERT. Then the
    new verdict is not to insert the row.
    """
    if verdict.outcome is not Outcome.MAPPED:
        return verdict
    return replace(verdict, outcome=Outcome.REJECTED, why=why)


def refuse_table(cell: Cell, plan: Plan, error: Exception) -> None:
    """Raise TableRefuses if ``instance_mappings`` refuses every row.

    *error* is the error of a batch. If the table accepts a plain row, a row of the
    batch is the cause, and this returns. Raises CellGone if the cell was deleted
    meanwhile: then all rows break the foreign key.
    """
    api = cell.api
    cells.refuse_gone(api, cell.mapping)
    refused = error if no_free_id(api, error) else refused_plain_row(cell, plan)
    if refused is None:
        return
    # The cell may have been deleted between the check above and the plain row.
    cells.refuse_gone(api, cell.mapping)
    name = instance_mappings.name
    raise TableRefuses(
        what=api.what,
        table=name,
        message=message(refused),
        remedy=remedy(api, plan, refused),
    )


def no_free_id(api: Database, error: Exception) -> bool:
    """Return True if *error* means that the server had no free value for the id.

    The plain row is no test of this: a sequence that is in a gap of the ids by then
    gives it a free value.
    """
    inner = driver_error(error)
    if api.backend.code(inner) in api.backend.refusals.exhausted:
        return True
    broken = constraint(inner)
    return broken is not None and broken == api.retry(partial(primary_key, api))


def primary_key(api: Database) -> str | None:
    """Return the name of the table's primary key."""
    with api.reading() as connection:
        inspector = sa.inspect(connection)
        return inspector.get_pk_constraint(instance_mappings.name)["name"]


def refused_plain_row(cell: Cell, plan: Plan) -> Exception | None:
    """Insert a plain row and roll it back; return the error, or None if it is accepted.

    Transient errors are retried.
    """
    try:
        cell.api.retry(partial(insert_plain_row, cell, plan))
    except cell.api.errors as refused:
        return refused
    return None


def insert_plain_row(cell: Cell, plan: Plan) -> None:
    """Insert a mapping of a new uuid to this cell, and roll the transaction back."""
    now = utcnow()
    values = {
        "project_id": uuid4().hex,
        "user_id": uuid4().hex,
        "queued_for_delete": False,
        "created_at": now,
        **values_of_newest(cell.api, plan),
    }
    plain = Instance(
        id=0,
        uuid=str(uuid4()),
        created_at=now,
        deleted=False,
        hidden=False,
        building=False,
        restoring=False,
        values={name: values[name] for name in plan.columns},
    )
    with cell.api.engine.connect() as connection:
        write.write_verdicts(
            connection,
            now,
            backend=cell.api.backend,
            verdicts=[Verdict(instance=plain, outcome=Outcome.MAPPED)],
            cell_id=cell.mapping.id,
        )
        connection.rollback()


def values_of_newest(api: Database, plan: Plan) -> dict[str, str]:
    """Return the project and the user of the newest mapping, if there is one.

    A vendor's constraint may refuse a project that does not exist.
    """
    names = [name for name in ("project_id", "user_id") if name in plan.columns]
    columns = [instance_mappings.c[name] for name in names]
    newest = sa.select(*columns).order_by(instance_mappings.c.id.desc()).limit(1)
    return {
        name: value
        for row in api.read_once(newest)
        for name, value in zip(names, row, strict=True)
        if value is not None
    }


def remedy(api: Database, plan: Plan, refused: Exception) -> str:
    """Return a sentence with the cause of *refused* and the SQL that removes it."""
    refusals = api.backend.refusals
    code = api.backend.code(driver_error(refused))
    if code in refusals.unusable or no_free_id(api, refused):
        return (
            f"{id_giver(api)} of column id gives a value that is taken or too large: "
            f"run {refusals.set_next} If max(id) is the largest value of its type, run "
            f"{refusals.widen_id}"
        )
    empty = []
    if code in refusals.not_null:
        empty = api.retry(partial(columns_without_value, api, plan))
    if "id" in empty:
        return f"column id has no default: run {refusals.add_default}"
    if empty:
        return (
            f"column {', '.join(empty)} is NOT NULL without a default, and neither "
            "nova nor this package gives it a value: give it a default, or drop its "
            "NOT NULL"
        )
    return "correct the trigger or constraint that refuses it"


def id_giver(api: Database) -> str:
    """Return the sequence or counter of the id, with its name if it has one."""
    refusals = api.backend.refusals
    if not refusals.id_source_query:
        return refusals.id_source
    name = api.read(sa.text(refusals.id_source_query))[0][0]
    return f"{refusals.id_source} {name}" if name else refusals.id_source


def columns_without_value(api: Database, plan: Plan) -> list[str]:
    """Return the NOT NULL columns to which an INSERT of this package gives no value."""
    written = {"instance_uuid", "cell_id", "updated_at", *plan.columns}
    with api.reading() as connection:
        columns = sa.inspect(connection).get_columns(instance_mappings.name)
    return [
        column["name"]
        for column in columns
        if column["name"] not in written and not api.backend.refusals.may_omit(column)
    ]
