"""Find out whether two rows of ``cell_mappings`` lead to one database."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import sqlalchemy as sa

from cellmap_migrations.common.errors import TryAgain
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
    from collections.abc import Sequence

    from cellmap_migrations.common.errors import CellmapError
    from cellmap_migrations.common.stopping import Stopping
    from cellmap_migrations.config.settings import Settings
    from cellmap_migrations.databases.database import Database
    from cellmap_migrations.nova.cells import CellMapping


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
    ) -> None:
        self.api, self.cells = api, cells
        self.settings, self.stopping = settings, stopping
        self.known: dict[int, Identity | CellmapError] = {}

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
        self.known[cell.id] = mine
        for other in self.ask(cell):
            theirs = self.known[other.id]
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

    def ask(self, cell: CellMapping) -> list[CellMapping]:
        """Ask the cells that may have *cell*'s database, and return them."""
        url = resolve(cell, self.settings)[0]
        others = [
            other
            for other in self.cells
            if other.id != cell.id
            and (theirs := resolve_or_none(other, self.settings))
            and may_be_one(url, theirs)
        ]
        unknown = [other for other in others if other.id not in self.known]
        self.known |= ask_each(
            unknown,
            lambda database, _: identify(database),
            self.settings,
            self.stopping,
        )
        return others


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


def may_be_one(one: sa.URL, other: sa.URL) -> bool:
    """Return False if the two URLs certainly lead to different databases.

    A database has one name on its server, so only databases of one name are asked.
    Some servers ignore its case. Files were compared by their URLs.
    """
    if one.get_backend_name() == dialects.FILE_BASED:
        return False
    names = [(url.database or url.username or "").casefold() for url in (one, other)]
    return type(dialects.of(one)) is type(dialects.of(other)) and names[0] == names[1]
