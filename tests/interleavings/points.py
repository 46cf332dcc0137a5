"""Count the statements of a run, and do something before one of them."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import psycopg
import sqlalchemy as sa
from sqlalchemy.engine.default import DefaultDialect

from cellmap_migrations.databases.base import autocommits
from tests.interleavings.actions import API, HERE, Prefix

COMMIT = "COMMIT"

TABLES = (
    "instances",
    "instance_mappings",
    "build_requests",
    "cell_mappings",
    "shadow_instances",
)

NAMES = re.compile(rf"\b({'|'.join(TABLES)})\b")

# These statements read the schema, which no action changes.
OF_SCHEMA = re.compile(r"PRAGMA|SELECT pg_catalog|SHOW |DESCRIBE ", re.IGNORECASE)

STAMP = re.compile("(INSERT INTO|UPDATE) cellmap_version")

SUM = "count(*) AS count_1, coalesce("

WRITE = re.compile("INSERT|UPDATE|DELETE")

LOCKS = re.compile(r"\s*(INSERT|UPDATE|DELETE)\b|.*\bFOR UPDATE\b", re.DOTALL)

# MariaDB and MySQL get some rows as literals, with the time of the run.
LITERAL = re.compile("'[^']*'")

SPACE = re.compile(r"\s+")

Tables = frozenset[tuple[str, str]]

# The text and the parameters of a statement.
Sent = tuple[str, Any]


@dataclass(frozen=True, kw_only=True)
class Point:
    """Describe a statement, or the COMMIT of a transaction that wrote."""

    number: int
    place: str
    text: str

    @property
    def tables(self) -> Tables:
        """Return the tables of nova that the statement uses; all at a COMMIT."""
        if self.text == COMMIT:
            return frozenset((self.place, name) for name in TABLES)
        if OF_SCHEMA.match(self.text):
            return frozenset()
        return frozenset((self.place, name) for name in NAMES.findall(self.text))

    @property
    def compares(self) -> bool:
        """Return True if the statement adds up the rows of the whole cell."""
        return self.place == HERE and SUM in self.text

    @property
    def writes(self) -> bool:
        """Return True if the statement writes rows, and records no revision."""
        return bool(WRITE.match(self.text)) and not STAMP.match(self.text)

    @property
    def locks(self) -> bool:
        """Return True if the statement locks rows."""
        return bool(LOCKS.match(self.text))


def with_locks(points: Collection[Point]) -> list[Point]:
    """Return the points at which the run holds locks of rows that it has written.

    On SQLite nova can commit nothing there.
    """
    found, locked = [], False
    for point in points:
        if locked:
            found.append(point)
        locked = point.text != COMMIT and (locked or point.writes)
    return found


def some(points: list[Point], every: int, *, thorough: bool) -> list[Point]:
    """Return all points, or every so many of them for a quick run."""
    return points if thorough else points[::every]


def of_first_revision(points: Sequence[Point]) -> list[Point]:
    """Return the points up to the record of the first revision."""
    recorded = next(point.number for point in points if STAMP.match(point.text))
    return list(points[:recorded])


def touched(prefix: Prefix) -> Tables:
    """Return the tables that the steps of a prefix read or write."""
    steps = prefix.action.steps[: prefix.length]
    found = {(each.place, name) for each in steps for name in NAMES.findall(each.sql)}
    if prefix.action.asks:
        found.add((API, "instance_mappings"))
    return frozenset(found)


def meeting(points: Collection[Point], prefix: Prefix) -> Iterator[Point]:
    """Yield the points before which a prefix is not the same as after them."""
    mine = touched(prefix)
    return (point for point in points if point.tables & mine)


# The method that every COMMIT calls. On PostgreSQL the package also calls the driver.
COMMITS = {
    "sqlite": (DefaultDialect, "do_commit"),
    "mysql": (DefaultDialect, "do_commit"),
    "postgresql": (psycopg.Connection, "commit"),
}

Act = Callable[[Any], None]


def nothing(_: Any) -> None:
    """Leave a connection as it is."""


@dataclass(kw_only=True)
class Watch:
    """Record the statements of a run.

    *act* is called before the statement of number *at*, or *after* it was committed,
    with the driver's connection. *stamping* is called when a revision may have been
    recorded.
    """

    backend: str
    places: Mapping[str, str]
    at: int = 0
    after: bool = False
    act: Act = nothing
    stamping: Act = nothing
    points: list[Point] = field(default_factory=list)
    # The statements of the open transaction of each connection.
    sent: dict[Any, list[Sent]] = field(default_factory=dict)
    busy: bool = False
    due: bool = False
    recorded: bool = False

    def alone(self, work: Act, connection: Any) -> None:
        """Do *work*, whose own statements do not count."""
        self.busy = True
        try:
            work(connection)
        finally:
            self.busy = False

    def before(
        self, connection: sa.Connection, text: str, parameters: Any = ()
    ) -> None:
        """Record a statement that is about to run."""
        if self.busy:
            return
        driver = connection.connection.dbapi_connection
        if autocommits(connection):
            self.sent.pop(driver, None)
        self.sent.setdefault(driver, []).append((text, parameters))
        if self.recorded:
            # It is committed when its result was read.
            self.recorded = False
            self.alone(self.stamping, driver)
        # SQLite's URLs have the path behind "file:".
        name = str(connection.engine.url.database).removeprefix("file:")
        number = len(self.points) + 1
        short = LITERAL.sub("''", SPACE.sub(" ", text)).strip()
        self.points.append(Point(number=number, place=self.places[name], text=short))
        if number == self.at and self.after:
            self.due = True
        elif number == self.at:
            self.alone(self.act, driver)

    def behind(self, driver: Any, text: str = "") -> None:
        """Call *act* or *stamping* if they are due behind a statement that has run.

        Without a *text* it is the last one. Its own may have limits in front of it.
        """
        if self.busy:
            return
        text = text or self.points[-1].text
        stamp = bool(STAMP.match(text))
        self.recorded = self.recorded or stamp
        # MariaDB and MySQL commit it themselves.
        if self.due and (text == COMMIT or (stamp and self.backend == "mysql")):
            self.due = False
            self.alone(self.act, driver)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch every connection while the block runs."""
        owner, name_of_commit = COMMITS[self.backend]
        do_commit: Any = getattr(owner, name_of_commit)

        def committed(*arguments: Any) -> None:
            do_commit(*arguments)
            self.behind(arguments[-1], COMMIT)

        def begin(connection: Any) -> None:
            self.sent.pop(connection.connection.dbapi_connection, None)

        def before(connection: Any, _: Any, statement: str, *rest: Any) -> None:
            self.before(connection, statement, rest[0])

        def after(connection: Any, *_: Any) -> None:
            self.behind(connection.connection.dbapi_connection)

        def commit(connection: Any) -> None:
            self.before(connection, COMMIT)

        listeners = (
            ("begin", begin),
            ("before_cursor_execute", before),
            ("after_cursor_execute", after),
            ("commit", commit),
        )
        for name, listener in listeners:
            sa.event.listen(sa.Engine, name, listener)
        try:
            with mock.patch.object(owner, name_of_commit, committed):
                yield
        finally:
            for name, listener in listeners:
                sa.event.remove(sa.Engine, name, listener)
