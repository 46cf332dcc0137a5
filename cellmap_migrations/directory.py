"""Find a cell in ``cell_mappings`` and learn where its database is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations import templates, urls
from cellmap_migrations.errors import (
    AmbiguousCell,
    CellGone,
    CellNotGiven,
    CellUrlUnusable,
    NoLocalCell,
    NotAnApiDatabase,
    SameDatabase,
    UnknownCell,
    UrlUnusable,
)
from cellmap_migrations.schema import cell_mappings
from cellmap_migrations.secrets import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellmap_migrations.databases import Database
    from cellmap_migrations.settings import Settings

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
        raise NotAnApiDatabase(api.what, [f"table {cell_mappings.name}"])
    statement = sa.select(
        cell_mappings.c.id,
        cell_mappings.c.uuid,
        cell_mappings.c.name,
        cell_mappings.c.database_connection.label("connection"),
    ).order_by(cell_mappings.c.id)
    return [
        CellMapping(id=row.id, uuid=uuid, name=name, connection=connection)
        for row in api.read(statement)
        for uuid, name, connection in [map(as_text, row[1:])]
    ]


def as_text(value: Any) -> Any:
    """Return *value*, a blob as text: SQLite has no types that keep one out."""
    return value.decode(errors="backslashreplace") if type(value) is bytes else value


def refuse_gone(api: Database, cell: CellMapping) -> None:
    """Raise CellGone if somebody deleted the cell while its rows were copied."""
    if cell.uuid not in {other.uuid for other in read(api) if other.id == cell.id}:
        raise CellGone(str(cell))


def find(cells: Sequence[CellMapping], settings: Settings) -> Sequence[CellMapping]:
    """Return the cells that ``cell=`` names: one, or with ``all`` every one.

    Raises CellNotGiven, UnknownCell, NoLocalCell, AmbiguousCell or SameDatabase, which
    list cells.
    """
    names = [str(cell) for cell in cells]
    selector = settings.cell
    if not selector:
        raise CellNotGiven(names)
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
        raise AmbiguousCell(selector, [cell.uuid for cell in found])
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
        raise NoLocalCell(unusable)
    if len(found) > 1:
        raise SameDatabase(str(found[0]), str(found[1]), urls.show(base))
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
