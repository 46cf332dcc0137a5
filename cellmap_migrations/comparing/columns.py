"""Correct columns of mappings to the values of their instances."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import sqlalchemy as sa

from cellmap_migrations.bookkeeping.tables import MENDED
from cellmap_migrations.comparing.differences import Difference, Kind
from cellmap_migrations.copying import read, write
from cellmap_migrations.databases.among import read_among, reader
from cellmap_migrations.databases.texts import (
    FALSE,
    NULL,
    TRUE,
    as_text,
    number_text,
    of_text,
    read_texts,
)
from cellmap_migrations.nova.tables import instance_mappings, instances

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from cellmap_migrations.cell.cell import Cell
    from cellmap_migrations.comparing.chunks import Values
    from cellmap_migrations.copying.plan import Plan

# The kinds of differences that are corrected by setting one column.
COLUMNS = (Kind.QUEUED_FOR_DELETE, Kind.USER_ID)

FLAG = Kind.QUEUED_FOR_DELETE.value


def is_corrected(
    name: str, found: str, wanted: str, *, restoring: bool = False
) -> bool:
    """Return True if the column *name* gets the value *wanted* instead of *found*.

    Both are texts, of the instance and of its mapping. A NULL in the cell overwrites no
    value. ``queued_for_delete`` is never changed from true to false: nova sets it
    before it deletes an instance. nova clears the flag of an instance that it restores
    before it changes the instance.
    """
    if wanted in (found, NULL):
        return False
    return name != FLAG or not (found == TRUE or (found == FALSE and restoring))


def has_corrected(row: Values, compared: Sequence[str], names: Collection[str]) -> bool:
    """Return True if one of the columns *names* is corrected in *row*.

    The texts of *row* are those of the columns *compared*.
    """
    return any(
        name in names and is_corrected(name, found, wanted)
        for name, found, wanted in zip(compared, row.found, row.wanted, strict=True)
    )


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Correct the columns *names* of the mappings to *cell*."""

    cell: Cell
    plan: Plan
    names: Sequence[str]

    @property
    def absent(self) -> tuple[str, ...]:
        """Return the texts that stand for an instance that must not be looked at."""
        return (FALSE, *[NULL] * len(self.names))

    def correct(
        self,
        connection: sa.Connection,
        _stamp: datetime,
        *,
        ids: Mapping[str, int],
        uuids: Sequence[str],
        mended: list[Difference],
    ) -> Counter[str]:
        """Correct the mappings of *uuids*, which have *ids*; return their count.

        The mappings are locked before the cell is read. nova changes a restored
        instance before it clears the flag of its mapping. So under the lock either the
        change is read here, or nova's own write comes after this one. *mended* becomes
        the list of the corrected values.
        """
        locked = self.lock(connection, sorted(ids[uuid] for uuid in uuids))
        rows = self.cell.database.holding_locks(lambda: self.read(uuids))
        mended.clear()
        for position, name in enumerate(self.names):
            column, changes = instance_mappings.c[name], []
            for number, uuid, *texts in locked:
                restoring, *values = rows.get(uuid, self.absent)
                found, wanted = texts[position], values[position]
                if is_corrected(name, found, wanted, restoring=restoring == TRUE):
                    old, new = of_text(column, found), of_text(column, wanted)
                    changes.append((int(number), old, new))
                    mended.append(as_difference(name, uuid, old, new))
            same = {"cell_id": self.cell.mapping.id}
            write.update_values(
                connection, self.cell.api.backend, column, changes, same
            )
        return Counter({MENDED: len(mended)})

    def lock(
        self, connection: sa.Connection, ids: Sequence[int]
    ) -> list[tuple[str, ...]]:
        """Lock the mappings *ids* to the cell; return id, uuid and columns as texts."""
        table = instance_mappings.c
        columns = [as_text(table[name]).label(f"of_{name}") for name in self.names]
        select = sa.select(
            number_text(table.id).label("locked_id"), table.instance_uuid, *columns
        ).where(table.cell_id == self.cell.mapping.id)
        return read_among(
            lambda some: read_texts(reader(connection), some.with_for_update()),
            select,
            table.id,
            ids,
        )

    def read(self, uuids: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Return whether nova restores an instance, and its values, as texts by uuid.

        Hidden instances are left out.
        """
        columns = [
            as_text(self.plan.columns[name]).label(f"of_{name}") for name in self.names
        ]
        live = sa.func.coalesce(instances.c.deleted, 0) == 0
        restoring = as_text(sa.and_(live, read.is_restoring()))
        select = sa.select(
            instances.c.uuid, restoring.label("restoring"), *columns
        ).where(sa.not_(sa.func.coalesce(self.plan.hidden, sa.false())))
        texts_of = partial(read_texts, self.cell.database.read_once)
        rows = read_among(texts_of, select, instances.c.uuid, uuids)
        return {uuid: tuple(texts) for uuid, *texts in rows}


def as_difference(name: str, uuid: str, old: object, new: object) -> Difference:
    """Return a corrected value as a difference."""
    why = f"{old!r} in its mapping, {new!r} in the cell"
    return Difference(kind=Kind(name), uuid=uuid, why=why)
