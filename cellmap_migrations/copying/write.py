"""Write the mappings of one batch; the caller's transaction holds them together."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations.bookkeeping.tables import REMOVED
from cellmap_migrations.databases.database import Changed
from cellmap_migrations.nova.rules import Outcome
from cellmap_migrations.nova.tables import instance_mappings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from cellmap_migrations.copying.pages import Page
    from cellmap_migrations.databases.base import Backend
    from cellmap_migrations.nova.rules import Verdict


# How many uuids one statement may name.
UUIDS = 1_000


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
    """Insert the lines of *page*, do what *verdicts* say of its rest, and count.

    *already* lines were left out of it, because they are mapped to this cell.
    """
    counts = Counter({Outcome.MAPPED.value: page.plain, Outcome.ALREADY.value: already})
    if page.plain:
        same = {"cell_id": cell_id, "updated_at": stamp}
        backend.insert_lines(connection, instance_mappings, columns, page.lines, same)
    return counts + write(
        connection, stamp, backend=backend, verdicts=verdicts, cell_id=cell_id
    )


def write(
    connection: sa.Connection,
    stamp: datetime,
    *,
    backend: Backend,
    verdicts: Sequence[Verdict],
    cell_id: int,
) -> Counter[str]:
    """Insert, fill and move what *verdicts* say, and count the outcomes.

    Raises Changed when a row is no longer what it was when it was decided about.
    """
    by_origin: dict[tuple[int | None, Any], list[str]] = defaultdict(list)
    new = []
    for verdict in verdicts:
        if verdict.outcome is Outcome.MAPPED:
            new.append(verdict.instance)
        elif verdict.outcome in (Outcome.FILLED, Outcome.MOVED):
            by_origin[verdict.other_cell_id, flag(verdict)].append(
                verdict.instance.uuid
            )
    if new:
        # A plain INSERT: IGNORE would hide truncation and NULLs, and would use up
        # an id of a signed 32-bit column for every row that is there already.
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
        assign(connection, uuids, origin=origin, cell_id=cell_id, also=dict(values))
    return Counter(verdict.outcome.value for verdict in verdicts)


def flag(verdict: Verdict) -> tuple[tuple[str, Any], ...]:
    """Return the flag of a mapping that is moved: the old one was another copy's.

    Nobody can have queued this copy: the API answered 404 for it until now.
    """
    name, instance = "queued_for_delete", verdict.instance
    if verdict.outcome is not Outcome.MOVED or name not in instance.values:
        return ()
    return () if instance.restoring else ((name, bool(instance.values[name])),)


def assign(
    connection: sa.Connection,
    uuids: Sequence[str],
    *,
    origin: int | None,
    cell_id: int,
    also: Mapping[str, Any],
) -> None:
    """Give the mappings this cell, provided that they still have *origin*.

    ``updated_at`` stays: it tells which rows this package inserted.
    """
    for start in range(0, len(uuids), UUIDS):
        some = uuids[start : start + UUIDS]
        result = connection.execute(
            sa.update(instance_mappings)
            .where(
                instance_mappings.c.instance_uuid.in_(some),
                instance_mappings.c.cell_id.is_not_distinct_from(origin),
            )
            .values(cell_id=cell_id, **also)
        )
        if result.rowcount != len(some):
            raise Changed("others keep changing the mappings of this batch")


def remove(
    connection: sa.Connection,
    _stamp: datetime,
    *,
    where: Sequence[sa.ColumnElement[bool]],
) -> Counter[str]:
    """Delete the mappings of which *where* is still true, and count them."""
    result = connection.execute(sa.delete(instance_mappings).where(*where))
    return Counter({REMOVED: result.rowcount})
