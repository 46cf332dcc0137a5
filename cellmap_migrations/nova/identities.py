"""Find out whether two rows of ``cell_mappings`` lead to one database."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import sqlalchemy as sa

from cellmap_migrations.common.errors import CellmapError, TryAgain
from cellmap_migrations.common.sentences import ApiDatabaseAsCell, SameDatabase
from cellmap_migrations.common.stderr import say
from cellmap_migrations.databases import codes, dialects, urls
from cellmap_migrations.databases.status import Identity
from cellmap_migrations.nova.cells import (
    ask_each,
    connect_cell,
    resolve,
    resolve_or_none,
)
from cellmap_migrations.nova.tables import instances

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from cellmap_migrations.common.stopping import Stopping
    from cellmap_migrations.config.settings import Settings
    from cellmap_migrations.databases.database import Database
    from cellmap_migrations.nova.cells import CellMapping

    Answer = Identity | CellmapError
    Known = Mapping[CellMapping, Answer]


# How many of the newest rows two databases are compared by.
ROWS = 20


class Identities:
    """The identities of the cells' databases, each asked of its server once in a run.

    Addresses do not tell: a name and its address, a socket and a port, or a load
    balancer and the server behind it lead to one database.
    """

    def __init__(
        self,
        *,
        api: Database,
        cells: Sequence[CellMapping],
        settings: Settings,
        stopping: Stopping,
        known: Known | None = None,
    ) -> None:
        """Begin with the answers that are *known* to the parent process."""
        self.api, self.cells = api, cells
        self.settings, self.stopping = settings, stopping
        self.known = dict(known or {})

    def opened(self, cell: CellMapping) -> tuple[Database, Identity]:
        """Return *cell*'s database, opened read-only, and its identity.

        Raises SameDatabase if it is another cell's as well, ApiDatabaseAsCell,
        CellUrlUnusable, Unreachable or PrivilegeMissing.
        """
        url, warning = resolve(cell, self.settings)
        refuse_shared(cell, url, self.cells, self.settings)
        if warning:
            say(f"warning: cell {cell}: {warning}")
        database = connect_cell(cell, self.settings, self.stopping)
        try:
            return database, self.refuse_same(cell, database)
        except BaseException:
            database.close()
            raise

    def refuse_same(self, cell: CellMapping, database: Database) -> Identity:
        """Return the identity of *cell*'s open *database*.

        Raises SameDatabase or ApiDatabaseAsCell. A cell that does not answer cannot be
        compared, and stops nothing.
        """
        mine = self.identify(cell, database)
        was_down = isinstance(self.known.get(cell), CellmapError)

        def doubtful(found: Answer) -> bool:
            # Rows that were read earlier do not tell two databases apart. And since
            # this cell is back, others may be, too.
            return found.key == mine.key if isinstance(found, Identity) else was_down

        self.known[cell] = mine
        others = [other for other in self.alike([cell]) if other != cell]
        for other, theirs in self.ask(others, again=doubtful).items():
            if isinstance(theirs, TryAgain):
                say(
                    f"warning: cell {other} did not answer; whether it has the "
                    f"database of cell {cell} is not known"
                )
            elif isinstance(theirs, Identity) and theirs.same(mine):
                raise SameDatabase(cell=cell, other=other, database=mine.name)
        return mine

    def identify(self, cell: CellMapping, database: Database) -> Identity:
        """Return the identity of *cell*'s open *database*; raise ApiDatabaseAsCell."""
        mine = database.again(partial(identify, database))
        alike = type(self.api.backend) is type(database.backend)
        if alike and mine.key == self.api.again(self.api.identity).key:
            raise ApiDatabaseAsCell(cell=cell, database=mine.name)
        return mine

    def ask(
        self,
        cells: Sequence[CellMapping],
        *,
        again: Callable[[Answer], bool] = lambda _: False,
    ) -> Known:
        """Return the identities of the databases of *cells*, or why they are not known.

        Asks only for answers that are not known, or are to be had *again*.
        """
        unknown = [
            cell
            for cell in cells
            if not (found := self.known.get(cell)) or again(found)
        ]
        answers = ask_each(
            unknown,
            lambda database, _: identify(database),
            self.settings,
            self.stopping,
        )
        self.known |= {cell: answers[cell.id] for cell in unknown}
        return {cell: self.known[cell] for cell in cells}

    def alike(self, cells: Sequence[CellMapping]) -> list[CellMapping]:
        """Return *cells*, and those that may have the database of one of them.

        Cells that are alone with the kind and name of their database are left out.
        """
        by_name: dict[Hashable, list[CellMapping]] = {}
        for cell in self.cells:
            if url := resolve_or_none(cell, self.settings):
                by_name.setdefault(kind_and_name(url), []).append(cell)
        return [
            cell
            for group in by_name.values()
            if len(group) > 1 and not set(cells).isdisjoint(group)
            for cell in group
        ]


def refuse_shared(
    cell: CellMapping,
    url: sa.URL,
    cells: Sequence[CellMapping],
    settings: Settings,
) -> None:
    """Raise SameDatabase or ApiDatabaseAsCell if *cell*'s URL says so."""
    api, _ = urls.parse(settings.api_connection, "[api_database] connection")
    if urls.identity(url) == urls.identity(api):
        raise ApiDatabaseAsCell(cell=cell, database=urls.show(url))
    for other in [other for other in cells if other.id != cell.id]:
        theirs = resolve_or_none(other, settings)
        if theirs and urls.identity(theirs) == urls.identity(url):
            raise SameDatabase(cell=cell, other=other, database=urls.show(url))


def identify(database: Database) -> Identity:
    """Return the identity of a cell's database, asked once."""
    newest = sa.select(instances.c.id, instances.c.uuid).order_by(instances.c.id.desc())
    try:
        rows = database.read_once(newest.limit(ROWS))
    except database.errors as error:
        if database.backend.fault(error) is not codes.Fault.OTHER:
            raise
        # Without the table, the plan of a revision says what is missing.
        rows = []
    found = database.identity()
    return replace(found, rows=frozenset(tuple(row) for row in rows))


def kind_and_name(url: sa.URL) -> Hashable:
    """Return what the URLs of one database have in common, whatever their hosts.

    A database has one name on its server. Some servers ignore its case. Files were
    compared by their URLs.
    """
    if url.get_backend_name() == dialects.FILE_BASED:
        return url
    return type(dialects.of(url)), (url.database or url.username or "").casefold()
