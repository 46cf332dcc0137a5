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


# Newest rows of ``instances`` in an identity.
ROWS = 20


class Identities:
    """Ask for the identity of each cell's database, once in a run, and compare them.

    URLs are not enough: a host name and its address, a socket and a port, or a load
    balancer and the server behind it may lead to one database.
    """

    def __init__(
        self,
        *,
        api: Database,
        mappings: Sequence[CellMapping],
        settings: Settings,
        stopping: Stopping,
        known: Known | None = None,
    ) -> None:
        """Start with the answers that are *known* to the parent process."""
        self.api, self.mappings = api, mappings
        self.settings, self.stopping = settings, stopping
        self.known = dict(known or {})

    def opened(self, mapping: CellMapping) -> tuple[Database, Identity]:
        """Open the cell's database read-only; return it and its identity.

        Raises SameDatabase if another cell has the same database, ApiDatabaseAsCell,
        CellUrlUnusable, Unreachable or PrivilegeMissing.
        """
        url, warning = resolve(mapping, self.settings)
        refuse_shared(mapping, url, self.mappings, self.settings)
        if warning:
            say(f"warning: cell {mapping}: {warning}")
        database = connect_cell(mapping, self.settings, self.stopping)
        try:
            return database, self.refuse_same(mapping, database)
        except BaseException:
            database.close()
            raise

    def refuse_same(self, mapping: CellMapping, database: Database) -> Identity:
        """Return the identity of the cell's open *database*.

        Raises SameDatabase or ApiDatabaseAsCell. If another cell does not answer, the
        databases are not compared, and a warning is printed.
        """
        mine = self.identify(mapping, database)
        was_down = isinstance(self.known.get(mapping), CellmapError)

        def doubtful(found: Answer) -> bool:
            # Two reads of one database may return different rows if there is time in
            # between. If this cell answers again, others may answer again, too.
            return found.key == mine.key if isinstance(found, Identity) else was_down

        self.known[mapping] = mine
        others = [other for other in self.alike([mapping]) if other != mapping]
        for other, theirs in self.ask(others, ask_again=doubtful).items():
            if isinstance(theirs, TryAgain):
                say(
                    f"warning: cell {other} did not answer; whether it has the "
                    f"database of cell {mapping} is not known"
                )
            elif isinstance(theirs, Identity) and theirs.same(mine):
                raise SameDatabase(cell=mapping, other=other, database=mine.name)
        return mine

    def identify(self, mapping: CellMapping, database: Database) -> Identity:
        """Return the identity of the open *database*; raise ApiDatabaseAsCell."""
        mine = database.retry(partial(identify, database))
        alike = type(self.api.backend) is type(database.backend)
        if alike and mine.key == self.api.retry(self.api.identity).key:
            raise ApiDatabaseAsCell(cell=mapping, database=mine.name)
        return mine

    def ask(
        self,
        mappings: Sequence[CellMapping],
        *,
        ask_again: Callable[[Answer], bool] = lambda _: False,
    ) -> Known:
        """Return the identity of the database of each of *mappings*, or its error.

        Asks a database only if its answer is not known, or *ask_again* is true of it.
        """
        unknown = [
            mapping
            for mapping in mappings
            if not (found := self.known.get(mapping)) or ask_again(found)
        ]
        answers = ask_each(
            unknown,
            lambda database, _: identify(database),
            self.settings,
            self.stopping,
        )
        self.known |= {mapping: answers[mapping.id] for mapping in unknown}
        return {mapping: self.known[mapping] for mapping in mappings}

    def alike(self, mappings: Sequence[CellMapping]) -> list[CellMapping]:
        """Return the cells of *mappings* and all others that may share a database.

        A cell is left out if no other has a database of the same kind and name.
        """
        by_name: dict[Hashable, list[CellMapping]] = {}
        for mapping in self.mappings:
            if url := resolve_or_none(mapping, self.settings):
                by_name.setdefault(kind_and_name(url), []).append(mapping)
        return [
            mapping
            for group in by_name.values()
            if len(group) > 1 and not set(mappings).isdisjoint(group)
            for mapping in group
        ]


def refuse_shared(
    mapping: CellMapping,
    url: sa.URL,
    mappings: Sequence[CellMapping],
    settings: Settings,
) -> None:
    """Raise SameDatabase or ApiDatabaseAsCell if another URL is equal to *url*."""
    api, _ = urls.parse(settings.api_connection, "[api_database] connection")
    if urls.identity(url) == urls.identity(api):
        raise ApiDatabaseAsCell(cell=mapping, database=urls.show(url))
    for other in [other for other in mappings if other.id != mapping.id]:
        theirs = resolve_or_none(other, settings)
        if theirs and urls.identity(theirs) == urls.identity(url):
            raise SameDatabase(cell=mapping, other=other, database=urls.show(url))


def identify(database: Database) -> Identity:
    """Return the identity of a cell's *database*; do not retry."""
    newest = sa.select(instances.c.id, instances.c.uuid).order_by(instances.c.id.desc())
    try:
        rows = database.read_once(newest.limit(ROWS))
    except database.errors as error:
        if database.backend.fault(error) is not codes.Fault.OTHER:
            raise
        # The table may be missing. make_plan() raises an error that names it.
        rows = []
    found = database.identity()
    return replace(found, rows=frozenset(tuple(row) for row in rows))


def kind_and_name(url: sa.URL) -> Hashable:
    """Return a key that is equal for two URLs of one database, also on other hosts.

    It has the kind and the name of the database, in lower case because some servers
    ignore the case. For a file it is the URL.
    """
    if url.get_backend_name() == dialects.FILE_BASED:
        return url
    return type(dialects.of(url)), (url.database or url.username or "").casefold()
