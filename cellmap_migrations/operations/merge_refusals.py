"""Refuse to merge two cells unless one of them duplicates the other."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from cellmap_migrations.bookkeeping import journal
from cellmap_migrations.common.errors import (
    CellUrlUnusable,
    DatabaseMissing,
    Unreachable,
    UrlUnusable,
)
from cellmap_migrations.common.sentences import (
    DifferentDatabases,
    DuplicateAnswers,
    DuplicateIsKept,
    DuplicateSilent,
    MappingsLeft,
    MostlyElsewhere,
    NotADuplicate,
    OpposedMerge,
)
from cellmap_migrations.comparing.differences import Difference, Kind
from cellmap_migrations.comparing.evidence import absent_uuids, describe_holder
from cellmap_migrations.copying import plan
from cellmap_migrations.databases import urls
from cellmap_migrations.nova import cells
from cellmap_migrations.nova.identities import identify
from cellmap_migrations.nova.tables import PLACEHOLDER
from cellmap_migrations.operations.merge_rows import MERGE, undoes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellmap_migrations.cell.cell import Cell
    from cellmap_migrations.comparing.tally import Tally
    from cellmap_migrations.databases.database import Database
    from cellmap_migrations.databases.status import Identity
    from cellmap_migrations.nova.cells import CellMapping
    from cellmap_migrations.nova.identities import Identities


# nova finds cell0 by this uuid.
CELL0 = PLACEHOLDER


def find(cell: Cell, selector: str) -> CellMapping:
    """Return the duplicate of *cell* that *selector* names.

    Raises NotADuplicate for *cell* itself and for cell0, UnknownCell or AmbiguousCell.
    """
    settings = replace(cell.settings, selector=selector)
    [duplicate] = cells.find(list(cell.cells.values()), settings)
    if duplicate.id == cell.mapping.id:
        why = "it is the one to keep; name another one with --from"
        raise NotADuplicate(cell=duplicate, why=why)
    if duplicate.uuid == CELL0:
        why = "nova finds cell0 by this uuid; name it with --cell"
        raise NotADuplicate(cell=duplicate, why=why)
    return duplicate


def connect_kept(
    identities: Identities, mapping: CellMapping
) -> tuple[Database, Identity]:
    """Return the database of the cell that is kept, and its identity.

    It is not refused if other cells have the same database. Raises ApiDatabaseAsCell
    and the errors of ``cells.connect_cell``.
    """
    database = cells.connect_cell(mapping, identities.settings, identities.stopping)
    return database, identities.identify(mapping, database)


def identify_kept(cell: Cell) -> Identity:
    """Return the identity of the database of *cell*; raise NotACellDatabase."""
    plan.make_plan(cell, {})
    return cell.opened[1]


def refuse_different(cell: Cell, duplicate: CellMapping) -> None:
    """Raise DifferentDatabases unless both cells have the same database.

    Raises DuplicateSilent if the duplicate's database does not answer.
    """
    mine = identify_kept(cell)
    try:
        theirs = identify_duplicate(cell, duplicate)
    except Unreachable as error:
        raise DuplicateSilent(message=error) from error
    if not theirs.same(mine):
        copy = ", a copy of it with the same name" if mine.name == theirs.name else ""
        raise DifferentDatabases(
            kept=cell.mapping,
            mine=mine.name,
            other=duplicate,
            theirs=theirs.name,
            copy=copy,
        )


def refuse_alive(cell: Cell, duplicate: CellMapping) -> None:
    """Raise DuplicateAnswers if the duplicate's database can be opened.

    If its address is NULL or not a URL, the database counts as gone.
    """
    mine = identify_kept(cell)
    try:
        theirs = identify_duplicate(cell, duplicate)
    except (Unreachable, DatabaseMissing, CellUrlUnusable, UrlUnusable):
        return
    raise (DuplicateIsKept if theirs.same(mine) else DuplicateAnswers)(
        cell=duplicate, database=theirs.name
    )


def identify_duplicate(cell: Cell, duplicate: CellMapping) -> Identity:
    """Return the identity of the duplicate's database."""
    database = cells.connect_cell(duplicate, cell.settings, cell.stopping)
    try:
        return database.retry(partial(identify, database))
    finally:
        database.close()


def absent(cell: Cell, uuids: Sequence[str]) -> list[Difference]:
    """Return the instances that the database of *cell* does not have."""
    return [
        Difference(kind=Kind.ORPHAN, uuid=uuid, why=f"not in cell {cell.mapping}")
        for uuid in absent_uuids(cell, cell.mapping.id, uuids)
    ]


def refuse_most(cell: Cell, duplicate: CellMapping, left: Tally, here: int) -> None:
    """Raise MostlyElsewhere if more mappings are *left* than instances are *here*."""
    if (missing := left.total()) > here:
        url, _ = cells.resolve(cell.mapping, cell.settings)
        examples = [each.uuid for each in left.examples[Kind.ORPHAN]]
        raise MostlyElsewhere(
            kept=cell.mapping,
            database=urls.show(url),
            other=duplicate,
            missing=missing,
            mappings=missing + here,
            owner=describe_holder(cell, duplicate.id, examples),
        )


def refuse_left(cell: Cell, duplicate: CellMapping, left: Tally) -> None:
    """List the mappings that were not moved, and raise MappingsLeft if there are any.

    An operator must decide about them: no database that answers has their instances.
    """
    cell.report.listing.extend(f"left       {line}" for line in left.listing())
    cell.report.details["left_differences"] = left.as_dict()
    if count := left.total():
        raise MappingsLeft(kept=cell.mapping, other=duplicate, count=count)


def last_opposed(cell: Cell, duplicate: CellMapping) -> Any | None:
    """Return the last batch of merges into the *duplicate*, or None."""
    return journal.last_batch(cell.api, duplicate.uuid, MERGE)


def refuse_opposed(cell: Cell, duplicate: CellMapping, before: Any | None) -> None:
    """Raise OpposedMerge if a merge into *duplicate* has a batch after *before*.

    *before* is an earlier result of ``last_opposed``.

    Otherwise both merges could end with 0, and each would advise to delete the row that
    the other one keeps. A batch that undoes a merge into *duplicate* takes mappings
    from it as well, and is no obstacle.
    """
    last = last_opposed(cell, duplicate)
    if last and last != before and not undoes(last.undo):
        raise OpposedMerge(kept=cell.mapping, other=duplicate, runner=last.runner)
