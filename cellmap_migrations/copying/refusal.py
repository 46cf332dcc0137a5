"""Tell a table that refuses every row from one row that the table refuses."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

import sqlalchemy as sa

from cellmap_migrations import directory
from cellmap_migrations.backends import driver_error
from cellmap_migrations.backends.refusals import constraint
from cellmap_migrations.copying import write
from cellmap_migrations.copying.judge import utcnow
from cellmap_migrations.driver_errors import message
from cellmap_migrations.errors import TableRefuses
from cellmap_migrations.outcomes import Instance, Outcome, Verdict
from cellmap_migrations.schema import instance_mappings

if TYPE_CHECKING:
    from cellmap_migrations.cell import Cell
    from cellmap_migrations.copying.plans import Plan
    from cellmap_migrations.databases import Database


def refuse_table(cell: Cell, plan: Plan, error: Exception) -> None:
    """Raise TableRefuses if ``instance_mappings`` refuses every row, not only some.

    *error* is how the database refused a batch. Return if it takes a plain row: then a
    row of the batch is the cause. Raises CellGone if the cell was deleted meanwhile,
    since its rows break the foreign key.
    """
    api = cell.api
    directory.refuse_gone(api, cell.mapping)
    refused = error if no_free_id(api, error) else refused_plain_row(cell, plan)
    if refused is None:
        return
    # Deleted between the look and the plain row.
    directory.refuse_gone(api, cell.mapping)
    name = instance_mappings.name
    raise TableRefuses(api.what, name, message(refused), remedy(api, plan, refused))


def no_free_id(api: Database, error: Exception) -> bool:
    """Return True if *error* says that the server had no free value for the id.

    A plain row cannot tell: it gets a free id if the sequence is in a hole by then.
    """
    inner = driver_error(error)
    if api.backend.code(inner) in api.backend.refusals.spent:
        return True
    broken = constraint(inner)
    return broken is not None and broken == api.again(partial(primary_key, api))


def primary_key(api: Database) -> str | None:
    """Return the name of the table's primary key."""
    with api.reading() as connection:
        inspector = sa.inspect(connection)
        return inspector.get_pk_constraint(instance_mappings.name)["name"]


def refused_plain_row(cell: Cell, plan: Plan) -> Exception | None:
    """Insert a plain row and roll it back; return how it was refused, or None.

    Transient errors are retried.
    """
    try:
        cell.api.again(partial(insert_plain_row, cell, plan))
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
        **taken_before(cell.api, plan),
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
        write.write(
            connection,
            now,
            backend=cell.api.backend,
            verdicts=[Verdict(instance=plain, outcome=Outcome.MAPPED)],
            cell_id=cell.mapping.id,
        )
        connection.rollback()


def taken_before(api: Database, plan: Plan) -> dict[str, str]:
    """Return the project and the user of the newest mapping, if there is one.

    A vendor's constraint may know all projects, and refuse one that is made up.
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
    """Return the column or sequence that causes *refused*, and the SQL to run."""
    refusals = api.backend.refusals
    code = api.backend.code(driver_error(refused))
    if code in refusals.taken or no_free_id(api, refused):
        return (
            f"{giver(api)} of column id gives a value that is taken or too large: run "
            f"{refusals.go_on} If max(id) is the largest value of its type, run "
            f"{refusals.widen}"
        )
    empty = []
    if code in refusals.unfilled:
        empty = api.again(partial(unfilled, api, plan))
    if "id" in empty:
        return f"column id has no default: run {refusals.number}"
    if empty:
        return (
            f"column {', '.join(empty)} is NOT NULL without a default, and neither "
            "nova nor this package gives it a value: give it a default, or drop its "
            "NOT NULL"
        )
    return "correct the trigger or constraint that refuses it"


def giver(api: Database) -> str:
    """Return what gives the id its values, with its name where it has one."""
    refusals = api.backend.refusals
    if not refusals.giver_name:
        return refusals.giver
    name = api.read(sa.text(refusals.giver_name))[0][0]
    return f"{refusals.giver} {name}" if name else refusals.giver


def unfilled(api: Database, plan: Plan) -> list[str]:
    """Return the columns that must have a value, and get none from an INSERT."""
    written = {"instance_uuid", "cell_id", "updated_at", *plan.columns}
    with api.reading() as connection:
        columns = sa.inspect(connection).get_columns(instance_mappings.name)
    return [
        column["name"]
        for column in columns
        if column["name"] not in written and not api.backend.refusals.fills(column)
    ]
