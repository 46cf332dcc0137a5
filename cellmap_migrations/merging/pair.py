"""Make sure that two rows of ``cell_mappings`` may be merged."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from cellmap_migrations import connecting, directory
from cellmap_migrations.copying import plans
from cellmap_migrations.errors import (
    CellUrlUnusable,
    DatabaseMissing,
    DifferentDatabases,
    DuplicateAnswers,
    DuplicateSilent,
    NotADuplicate,
    Unreachable,
    UrlUnusable,
)
from cellmap_migrations.identities import identify
from cellmap_migrations.schema import PLACEHOLDER

if TYPE_CHECKING:
    from cellmap_migrations.backends import Identity
    from cellmap_migrations.cell import Cell
    from cellmap_migrations.directory import CellMapping

# nova finds cell0 by this uuid.
CELL0 = PLACEHOLDER


def find(cell: Cell, selector: str) -> CellMapping:
    """Return the cell that *selector* names, whose mappings *cell* is to get.

    Raises NotADuplicate for *cell* itself and for cell0, UnknownCell or AmbiguousCell.
    """
    settings = replace(cell.settings, cell=selector)
    [found] = directory.find(list(cell.cells.values()), settings)
    if found.id == cell.mapping.id:
        raise NotADuplicate(
            str(found), "it is the one to keep; name another one with --from"
        )
    if found.uuid == CELL0:
        raise NotADuplicate(
            str(found), "nova finds cell0 by this uuid; name it with --cell"
        )
    return found


def open_kept(cell: Cell) -> Identity:
    """Open the database of the cell that is kept, and return its identity.

    It may be the database of other cells too, which ``Cell.open`` refuses. Raises
    ApiDatabaseAsCell, NotACellDatabase or what ``connecting.connect_cell`` raises.
    """
    cell.source = connecting.connect_cell(cell.mapping, cell.settings, cell.stopping)
    identity = cell.identities.identify(cell.mapping, cell.source)
    cell.database_name = identity.name
    plans.make({}, api=cell.api, cell=cell.source)
    return identity


def refuse_different(cell: Cell, duplicate: CellMapping) -> None:
    """Raise DifferentDatabases unless both cells have one database.

    Raises DuplicateSilent if the duplicate's does not answer.
    """
    mine = open_kept(cell)
    try:
        theirs = ask(cell, duplicate)
    except Unreachable as error:
        raise DuplicateSilent(str(error)) from error
    if not theirs.same(mine):
        raise DifferentDatabases(
            str(cell.mapping), mine.name, str(duplicate), theirs.name
        )


def refuse_alive(cell: Cell, duplicate: CellMapping) -> None:
    """Raise DuplicateAnswers unless the duplicate's database is gone.

    An address that is NULL or no URL leads to no database either.
    """
    mine = open_kept(cell)
    try:
        theirs = ask(cell, duplicate)
    except (Unreachable, DatabaseMissing, CellUrlUnusable, UrlUnusable):
        return
    raise DuplicateAnswers(str(duplicate), theirs.name, same=theirs.same(mine))


def ask(cell: Cell, duplicate: CellMapping) -> Identity:
    """Return the identity of the duplicate's database."""
    database = connecting.connect_cell(duplicate, cell.settings, cell.stopping)
    try:
        return database.again(partial(identify, database))
    finally:
        database.close()
