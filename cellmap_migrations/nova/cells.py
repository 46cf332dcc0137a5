"""Find cells in ``cell_mappings``, and connect to their databases."""

from __future__ import annotations

import time
from concurrent.futures import wait
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa

from cellmap_migrations.common import background
from cellmap_migrations.common.errors import (
    CellmapError,
    CellUrlUnusable,
    UnknownCell,
    Unreachable,
    UrlUnusable,
)
from cellmap_migrations.common.secrets import one_line
from cellmap_migrations.common.sentences import (
    AmbiguousCell,
    CellGone,
    CellNotGiven,
    NoLocalCell,
    NotAnApiDatabase,
    SameDatabase,
)
from cellmap_migrations.databases import connect, urls
from cellmap_migrations.databases.connect import try_for, unopened
from cellmap_migrations.nova import templates
from cellmap_migrations.nova.tables import cell_mappings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cellmap_migrations.common.stopping import Stopping
    from cellmap_migrations.config.settings import Settings
    from cellmap_migrations.databases.database import Database


def unopened_cell(
    cell: CellMapping, settings: Settings, stopping: Stopping
) -> Database:
    """Return the cell's database as ``unopened`` does; raise CellUrlUnusable too."""
    url, _ = resolve(cell, settings)
    return unopened(
        url,
        what=f"cell {cell}",
        settings=settings,
        stopping=stopping,
        parameters=settings.base_parameters,
        read_only=True,
    )


def connect_cell(
    cell: CellMapping,
    settings: Settings,
    stopping: Stopping,
    patience: float | None = None,
) -> Database:
    """Return the cell's database, opened read-only as ``connect`` does it.

    Tried for *patience* seconds if that is given. Raises CellUrlUnusable as well.
    """
    database = unopened_cell(cell, settings, stopping)
    patience = settings.connect_timeout if patience is None else patience
    try_for(database, patience)
    return database


LOCAL, ALL = "local", "all"


@dataclass(frozen=True, kw_only=True)
class CellMapping:
    """One row of nova's ``cell_mappings``; ``connection`` is its text, never shown."""

    id: int
    uuid: str
    name: str | None
    connection: str | None = field(repr=False)

    def __str__(self) -> str:
        return one_line(f"{self.name} ({self.uuid})" if self.name else self.uuid)


def read(api: Database) -> list[CellMapping]:
    """Return every cell, in the order of their ids; cell0 and disabled ones too."""
    # MariaDB describes a table only to those who may read it.
    if not api.has_table(cell_mappings.name):
        raise NotAnApiDatabase(database=api.what, missing=f"table {cell_mappings.name}")
    statement = sa.select(
        cell_mappings.c.id,
        cell_mappings.c.uuid,
        cell_mappings.c.name,
        cell_mappings.c.database_connection.label("connection"),
    ).order_by(cell_mappings.c.id)
    cells = [
        CellMapping(id=row.id, uuid=uuid, name=name, connection=connection)
        for row in api.read(statement)
        for uuid, name, connection in [map(as_text, row[1:])]
    ]
    for cell in cells:
        urls.learn(cell.connection)
    return cells


def as_text(value: Any) -> Any:
    """Return *value*, a blob as text: SQLite has no types that keep one out."""
    return value.decode(errors="backslashreplace") if type(value) is bytes else value


def refuse_gone(api: Database, cell: CellMapping) -> None:
    """Raise CellGone if somebody deleted the cell while its rows were copied."""
    if cell.uuid not in {other.uuid for other in read(api) if other.id == cell.id}:
        raise CellGone(cell=cell)


def find(cells: Sequence[CellMapping], settings: Settings) -> Sequence[CellMapping]:
    """Return the cells that ``cell=`` names: one, or with ``all`` every one.

    Raises CellNotGiven, UnknownCell, NoLocalCell, AmbiguousCell or SameDatabase, which
    list cells.
    """
    names = [str(cell) for cell in cells]
    selector = settings.cell
    if not selector:
        raise CellNotGiven(cells="; ".join(names) or "none")
    if selector == ALL:
        return cells
    if selector == LOCAL:
        found = at_base(cells, settings)
    else:
        found = [cell for cell in cells if cell.uuid.lower() == selector.lower()]
        found = found or [cell for cell in cells if cell.name == selector]
    if not found:
        raise UnknownCell(selector, names)
    if len(found) > 1:
        uuids = ", ".join(cell.uuid for cell in found)
        raise AmbiguousCell(count=len(found), selector=selector, uuids=uuids)
    return found


def at_base(cells: Sequence[CellMapping], settings: Settings) -> list[CellMapping]:
    """Return the cell whose database is nova.conf's ``[database] connection``."""
    if settings.base_connection is None:
        raise UrlUnusable("cell=local", "[database] connection is not set in nova.conf")
    base, _ = urls.parse(settings.base_connection, "[database] connection")
    found = [
        cell
        for cell in cells
        if (url := resolve_or_none(cell, settings))
        and urls.identity(url) == urls.identity(base)
    ]
    reasons = [] if found else [why_unusable(cell, settings) for cell in cells]
    if unusable := list(filter(None, reasons)):
        raise NoLocalCell(unusable="; ".join(unusable))
    if len(found) > 1:
        cell, other = found[:2]
        raise SameDatabase(cell=cell, other=other, database=urls.show(base))
    return found


def resolve(cell: CellMapping, settings: Settings) -> tuple[sa.URL, str | None]:
    """Return where the cell's database is, and a warning about its driver or None.

    Raises CellUrlUnusable. A NULL connection is one such case: nova would silently
    use its own ``[database] connection`` for it (``create_context_manager(None)``).
    """
    if cell.connection is None:
        raise CellUrlUnusable(str(cell), "its database_connection is NULL")
    if templates.misplaced(cell.connection):
        raise CellUrlUnusable(
            str(cell),
            "database_connection has {password} or {query} in the wrong place; write "
            ":{password}@ and ?{query}",
        )
    try:
        text = templates.expand(cell.connection, settings.base_connection)
        url, warning = urls.parse(text, "database_connection")
    except ValueError as error:
        raise CellUrlUnusable(str(cell), f"database_connection: {error}") from None
    except UrlUnusable as error:
        raise CellUrlUnusable(str(cell), str(error)) from None
    ours = (settings.base_connection, settings.api_connection)
    if refused := urls.refused(url, *filter(None, ours)):
        raise CellUrlUnusable(
            str(cell),
            f"database_connection has ?{refused[0]}=, which a cell may have only if "
            "[database] or [api_database] connection in nova.conf has the same",
        )
    return url, warning


def resolve_or_none(cell: CellMapping, settings: Settings) -> sa.URL | None:
    """Return where the cell's database is, or None where that cannot be said."""
    try:
        return resolve(cell, settings)[0]
    except CellUrlUnusable:
        return None


def why_unusable(cell: CellMapping, settings: Settings) -> str:
    """Return the cell and why its URL cannot be used; empty if it can."""
    try:
        resolve(cell, settings)
    except CellUrlUnusable as error:
        return f"cell {cell}: {error.why}"
    return ""


T = TypeVar("T")

# Seconds for all of them together.
PATIENCE = 3.0


def ask_each(
    cells: Sequence[CellMapping],
    question: Callable[[Database, CellMapping], T],
    settings: Settings,
    stopping: Stopping,
) -> dict[int, T | CellmapError]:
    """Return what *question* returns for each cell, by ``cell_mappings.id``.

    A cell that fails, or does not answer within PATIENCE seconds, has the error
    instead.
    """

    def ask(cell: CellMapping) -> T | CellmapError:
        try:
            database = unopened_cell(cell, settings, stopping)
            try:
                return connect.ask(
                    database, partial(question, database, cell), PATIENCE
                )
            finally:
                database.close()
        except CellmapError as error:
            return error

    # Before any thread runs: each of them delays the start of the next.
    deadline = time.monotonic() + PATIENCE
    asked = {cell.id: background.start(partial(ask, cell)) for cell in cells}
    # A driver may wait for longer than that, and the process must not.
    while wait(asked.values(), timeout=background.TICK).not_done:
        stopping.check()
        if time.monotonic() > deadline:
            break
    return {
        cell.id: asked[cell.id].result()
        if asked[cell.id].done()
        else Unreachable(f"cell {cell}", PATIENCE, "no answer")
        for cell in cells
    }
