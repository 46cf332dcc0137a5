"""Write the mappings of one batch in the caller's transaction."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations.bookkeeping.tables import REMOVED
from cellmap_migrations.databases.among import among, parts
from cellmap_migrations.databases.database import Changed
from cellmap_migrations.nova.rules import Outcome
from cellmap_migrations.nova.tables import instance_mappings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from cellmap_migrations.copying.pages import Page
    from cellmap_migrations.databases.base import Backend, Change
    from cellmap_migrations.nova.rules import Verdict


def write_page(
    connection: sa.Connection,
    stamp: datetime,
    *,
    backend: Backend,
    page: Page,
    columns: Sequence[str],
    already: int,
    verdicts: Sequence[Verdict],
    cell_id: int,
) -> Counter[str]:
    """Insert the lines of *page*, apply *verdicts* to its rest; return the counts.

    *already* is the number of lines that were removed because they are mapped to this
    cell.
    """
    counts = Counter({Outcome.MAPPED.value: page.plain, Outcome.ALREADY.value: already})
    if page.plain:
        same = {"cell_id": cell_id, "updated_at": stamp}
        backend.insert_lines(connection, instance_mappings, columns, page.lines, same)
    return counts + write_verdicts(
        connection, stamp, backend=backend, verdicts=verdicts, cell_id=cell_id
    )


def write_verdicts(
    connection: sa.Connection,
    stamp: datetime,
    *,
    backend: Backend,
    verdicts: Sequence[Verdict],
    cell_id: int,
) -> Counter[str]:
    """Insert, fill and move mappings as *verdicts* say; return the counts.

    Raises Changed if a mapping has another cell than when it was decided about.
    """
    by_origin: dict[tuple[int | None, Any], list[str]] = defaultdict(list)
    new = []
    for verdict in verdicts:
        if verdict.outcome is Outcome.MAPPED:
            new.append(verdict.instance)
        elif verdict.outcome in (Outcome.FILLED, Outcome.MOVED):
            by_origin[verdict.other_cell_id, flag_of_moved(verdict)].append(
                verdict.instance.uuid
            )
    if new:
        # A plain INSERT: IGNORE would hide truncation and NULLs, and use up an id of a
        # signed 32-bit column for each duplicate.
        backend.insert(
            connection,
            instance_mappings,
            [
                {
                    "instance_uuid": instance.uuid,
                    "cell_id": cell_id,
                    "updated_at": stamp,
                    **instance.values,
                }
                for instance in new
            ],
        )
    for (origin, values), uuids in by_origin.items():
        set_cell(connection, uuids, origin=origin, cell_id=cell_id, also=dict(values))
    return Counter(verdict.outcome.value for verdict in verdicts)


def flag_of_moved(verdict: Verdict) -> tuple[tuple[str, Any], ...]:
    """Return the ``queued_for_delete`` to set with the cell of a moved mapping.

    The old flag is that of the other cell's copy. No user can have deleted this copy:
    the API answered 404 for it until now.
    """
    name, instance = "queued_for_delete", verdict.instance
    if verdict.outcome is not Outcome.MOVED or name not in instance.values:
        return ()
    return () if instance.restoring else ((name, bool(instance.values[name])),)


def set_cell(
    connection: sa.Connection,
    uuids: Sequence[str],
    *,
    origin: int | None,
    cell_id: int,
    also: Mapping[str, Any],
) -> None:
    """Set the cell of mappings that still have the cell *origin*; else raise Changed.

    ``updated_at`` is left as it is: it marks the mappings that this package inserted.
    """
    table = instance_mappings.c
    update = (
        sa.update(instance_mappings)
        .where(table.cell_id.is_not_distinct_from(origin))
        .values(cell_id=cell_id, **also)
    )
    change(connection, update, table.instance_uuid, uuids)


def update_values(
    connection: sa.Connection,
    backend: Backend,
    column: sa.Column[Any],
    changes: Sequence[Change],
    where: Mapping[str, Any],
) -> None:
    """Set *column* as ``Backend.update_rows`` does.

    Raises Changed if a row is left, because nova was faster.
    """
    if changes:
        changed = backend.update_rows(connection, column, changes, where)
        refuse_changed(changed, len(changes))


def change(
    connection: sa.Connection,
    statement: sa.Update | sa.Delete,
    column: sa.ColumnElement[Any],
    values: Sequence[Any],
) -> None:
    """Change the rows whose *column* has one of *values*.

    Raises Changed if *statement* excludes one of them, because nova was faster.
    """
    refuse_changed(execute_among(connection, statement, column, values), len(values))


def execute_among(
    connection: sa.Connection,
    statement: sa.Update | sa.Delete,
    column: sa.ColumnElement[Any],
    values: Sequence[Any],
) -> int:
    """Change the rows whose *column* has one of *values*; return their number."""
    return sum(
        connection.execute(statement.where(among(column, some))).rowcount
        for some in parts(values)
    )


def refuse_changed(changed: int, planned: int) -> None:
    """Raise Changed unless as many rows were *changed* as *planned*."""
    if changed != planned:
        raise Changed("others keep changing the mappings of this batch")


def remove(
    connection: sa.Connection,
    _stamp: datetime,
    *,
    where: Sequence[sa.ColumnElement[bool]],
) -> Counter[str]:
    """Delete the mappings of which *where* is true; return their count."""
    result = connection.execute(sa.delete(instance_mappings).where(*where))
    return Counter({REMOVED: result.rowcount})


def remove_ids(
    connection: sa.Connection,
    _stamp: datetime,
    *,
    ids: Sequence[int],
    where: sa.ColumnElement[bool],
) -> Counter[str]:
    """Delete the mappings *ids* of which *where* is still true; return their count."""
    delete = sa.delete(instance_mappings).where(where)
    return Counter(
        {REMOVED: execute_among(connection, delete, instance_mappings.c.id, ids)}
    )
