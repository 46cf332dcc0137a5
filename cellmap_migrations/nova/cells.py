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
from cellmap_migrations.databases.connect import make_database, wait_for_answer
from cellmap_migrations.nova import templates
from cellmap_migrations.nova.tables import cell_mappings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cellmap_migrations.common.stopping import Stopping
    from cellmap_migrations.config.settings import Settings
    from cellmap_migrations.databases.database import Database


def make_cell_database(
    mapping: CellMapping, settings: Settings, stopping: Stopping
) -> Database:
    """Return the cell's database without connecting; raise CellUrlUnusable."""
    url, _ = resolve(mapping, settings)
    return make_database(
        url,
        what=f"cell {mapping}",
        settings=settings,
        stopping=stopping,
        parameters=settings.base_parameters,
        read_only=True,
    )


def connect_cell(
    mapping: CellMapping,
    settings: Settings,
    stopping: Stopping,
    patience: float | None = None,
) -> Database:
    """Return the cell's database, opened read-only.

    Retries for *patience* seconds, or without that for ``connect_timeout``. Raises
    CellUrlUnusable, and the errors of ``connect.connect``.
    """
    database = make_cell_database(mapping, settings, stopping)
    patience = settings.connect_timeout if patience is None else patience
    wait_for_answer(database, patience)
    return database


LOCAL, ALL = "local", "all"


@dataclass(frozen=True, kw_only=True)
class CellMapping:
    """Hold one row of ``cell_mappings``. Its *connection* must not be shown."""

    id: int
    uuid: str
    name: str | None
    connection: str | None = field(repr=False)

    def __str__(self) -> str:
        return one_line(f"{self.name} ({self.uuid})" if self.name else self.uuid)


def read(api: Database) -> list[CellMapping]:
    """Return all cells in the order of their ids, with cell0 and disabled ones."""
    # A user without a right on the table does not see it in the catalog of MariaDB.
    if not api.has_table(cell_mappings.name):
        raise NotAnApiDatabase(database=api.what, missing=f"table {cell_mappings.name}")
    statement = sa.select(
        cell_mappings.c.id,
        cell_mappings.c.uuid,
        cell_mappings.c.name,
        cell_mappings.c.database_connection.label("connection"),
    ).order_by(cell_mappings.c.id)
    mappings = [
        CellMapping(id=row.id, uuid=uuid, name=name, connection=connection)
        for row in api.read(statement)
        for uuid, name, connection in [map(decode_blob, row[1:])]
    ]
    for mapping in mappings:
        urls.remember_passwords(mapping.connection)
    return mappings


def decode_blob(value: Any) -> Any:
    """Return *value*, decoded if it is bytes: SQLite accepts a blob in any column."""
    return value.decode(errors="backslashreplace") if type(value) is bytes else value


def refuse_gone(api: Database, mapping: CellMapping) -> None:
    """Raise CellGone if the cell was deleted from ``cell_mappings`` during the run."""
    if mapping.uuid not in {
        other.uuid for other in read(api) if other.id == mapping.id
    }:
        raise CellGone(cell=mapping)


def find(mappings: Sequence[CellMapping], settings: Settings) -> Sequence[CellMapping]:
    """Return the one cell that the selector in *settings* names, or all for ``all``.

    Raises CellNotGiven, UnknownCell, NoLocalCell, AmbiguousCell or SameDatabase.
    """
    names = [str(mapping) for mapping in mappings]
    selector = settings.selector
    if not selector:
        raise CellNotGiven(cells="; ".join(names) or "none")
    if selector == ALL:
        return mappings
    if selector == LOCAL:
        found = find_local(mappings, settings)
    else:
        found = [
            mapping for mapping in mappings if mapping.uuid.lower() == selector.lower()
        ]
        found = found or [mapping for mapping in mappings if mapping.name == selector]
    if not found:
        raise UnknownCell(selector, names)
    if len(found) > 1:
        uuids = ", ".join(mapping.uuid for mapping in found)
        raise AmbiguousCell(count=len(found), selector=selector, uuids=uuids)
    return found


def find_local(
    mappings: Sequence[CellMapping], settings: Settings
) -> list[CellMapping]:
    """Return the cell with the database of ``[database] connection``, or none."""
    if settings.base_connection is None:
        raise UrlUnusable("cell=local", "[database] connection is not set in nova.conf")
    base, _ = urls.parse(settings.base_connection, "[database] connection")
    found, unusable = [], []
    for mapping in mappings:
        url = resolve_or_error(mapping, settings)
        if isinstance(url, CellUrlUnusable):
            unusable.append(f"cell {mapping}: {url.why}")
        elif urls.identity(url) == urls.identity(base):
            found.append(mapping)
    if unusable and not found:
        raise NoLocalCell(unusable="; ".join(unusable))
    if len(found) > 1:
        mapping, other = found[:2]
        raise SameDatabase(cell=mapping, other=other, database=urls.show(base))
    return found


def resolve(mapping: CellMapping, settings: Settings) -> tuple[sa.URL, str | None]:
    """Return the URL of the cell's database, and a warning about its driver or None.

    Raises CellUrlUnusable, also for a NULL connection, for which nova silently uses its
    ``[database] connection`` (``create_context_manager(None)``).
    """
    if mapping.connection is None:
        raise CellUrlUnusable(str(mapping), "its database_connection is NULL")
    if templates.misplaces_secret(mapping.connection):
        raise CellUrlUnusable(
            str(mapping),
            "database_connection has {password} or {query} in the wrong place; write "
            ":{password}@ and ?{query}",
        )
    try:
        text = templates.expand(mapping.connection, settings.base_connection)
        url, warning = urls.parse(text, "database_connection")
    except ValueError as error:
        raise CellUrlUnusable(str(mapping), f"database_connection: {error}") from None
    except UrlUnusable as error:
        raise CellUrlUnusable(str(mapping), str(error)) from None
    ours = (settings.base_connection, settings.api_connection)
    if refused := urls.refused_arguments(url, *filter(None, ours)):
        raise CellUrlUnusable(
            str(mapping),
            f"database_connection has ?{refused[0]}=, which a cell may have only if "
            "[database] or [api_database] connection in nova.conf has the same",
        )
    return url, warning


def resolve_or_error(
    mapping: CellMapping, settings: Settings
) -> sa.URL | CellUrlUnusable:
    """Return the URL of the cell's database, or the error if it is unusable."""
    try:
        return resolve(mapping, settings)[0]
    except CellUrlUnusable as error:
        return error


def resolve_or_none(mapping: CellMapping, settings: Settings) -> sa.URL | None:
    """Return the URL of the cell's database, or None if it is unusable."""
    url = resolve_or_error(mapping, settings)
    return None if isinstance(url, CellUrlUnusable) else url


T = TypeVar("T")

# Seconds for the answers of all cells together.
ANSWER_SECONDS = 3.0


def ask_each(
    mappings: Sequence[CellMapping],
    question: Callable[[Database, CellMapping], T],
    settings: Settings,
    stopping: Stopping,
) -> dict[int, T | CellmapError]:
    """Return the result of *question* for each cell, keyed by ``cell_mappings.id``.

    If a cell fails, or does not answer within ANSWER_SECONDS, its result is the error.
    """

    def ask(mapping: CellMapping) -> T | CellmapError:
        try:
            database = make_cell_database(mapping, settings, stopping)
            try:
                return connect.ask_once(
                    database, partial(question, database, mapping), ANSWER_SECONDS
                )
            finally:
                database.close()
        except CellmapError as error:
            return error

    # Set before the threads start, because each delays the start of the next.
    deadline = time.monotonic() + ANSWER_SECONDS
    asked = {
        mapping.id: background.start(partial(ask, mapping)) for mapping in mappings
    }
    # A driver may wait longer, so the main thread does not wait for the threads.
    while wait(asked.values(), timeout=background.TICK).not_done:
        stopping.check()
        if time.monotonic() > deadline:
            break
    return {
        mapping.id: asked[mapping.id].result()
        if asked[mapping.id].done()
        else Unreachable(f"cell {mapping}", ANSWER_SECONDS, "no answer")
        for mapping in mappings
    }
