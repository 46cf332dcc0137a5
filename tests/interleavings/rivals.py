"""Let a second session, or a silent network, cause an error of one statement."""

import os
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from threading import Thread
from typing import Any, TypeAlias
from unittest import mock

import sqlalchemy as sa

from cellmap_migrations.databases import postgresql_limits
from cellmap_migrations.testing.servers import plain_engine
from cellmap_migrations.testing.servers.network import NetworkServer
from cellmap_migrations.testing.servers.postgresql import PostgreSQL
from tests.harness.waiting import wait_for
from tests.interleavings.actions import API
from tests.interleavings.copies import saved
from tests.interleavings.grid import Case
from tests.interleavings.points import COMMIT, LOCKS, Point, Sent
from tests.interleavings.world import World, locked

NO_LOCK_BEFORE = "the transaction has locked nothing before the statement"
LOCKED_BY_RUN = "the run itself holds what the statement locks"
REFUSED = "the server refuses the statement in any session"
FILE_LOCKED = "the run itself holds a lock of the file"
NOT_OPPOSITE = "the second session finds the first lock of the run free"

# Seconds for an answer that never comes.
SILENCE = 0.2

# How often a session changes each row of a table. MariaDB and MySQL end that one of two
# transactions which has changed fewer rows.
CHANGES = 8

# The first session that finds a deadlock is ended: that must be the run.
SOON = "ALTER ROLE nova SET deadlock_timeout = '20ms'"
USUAL = "ALTER ROLE nova RESET deadlock_timeout"
LATE = "SET deadlock_timeout = '1h'"


class Impossible(Exception):
    """Report why a crash cannot happen at a statement."""


class Trouble:
    """Cause one error of a run; *stack* ends the cause after the error."""

    def __init__(self, world: World, case: Case, point: Point) -> None:
        self.world, self.case, self.point = world, case, point
        self.stack = ExitStack()
        self.engine: sa.Engine | None = None
        self.error = ""
        self.begun = False

    def awaited(self, work: Callable[[], int]) -> int:
        """Do *work*; end the cause at its first error, or after it."""

        def note(context: Any) -> None:
            if self.begun and context.engine is not self.engine:
                self.begun = False
                self.error = str(context.original_exception)
                self.stack.close()

        sa.event.listen(sa.Engine, "handle_error", note)
        try:
            return work()
        finally:
            sa.event.remove(sa.Engine, "handle_error", note)
            self.stack.close()

    def begin(self, cause: "Cause", driver: Any) -> None:
        """Let *cause* prepare an error of the connection *driver*."""
        try:
            cause(self, driver)
        except Impossible as why:
            self.case.why = str(why)
        else:
            self.begun = True
        finally:
            if not self.begun:
                self.stack.close()

    def session(self) -> sa.Connection:
        """Return a second session on the database of the statement."""
        assert isinstance(self.world.server, NetworkServer)
        name = str(self.world.engines[self.point.place].url.database)
        self.engine = plain_engine(self.world.server.url(name, "admin"))
        connection = self.stack.enter_context(self.engine.connect())
        self.stack.callback(connection.rollback)
        return connection


@contextmanager
def deadlocks_found_at_once(world: World) -> Iterator[None]:
    """Let PostgreSQL tell new sessions of a deadlock before their lock_timeout."""
    if not isinstance(world.server, PostgreSQL):
        yield
        return
    world.server.execute(SOON)
    try:
        yield
    finally:
        world.server.execute(USUAL)


Cause: TypeAlias = Callable[[Trouble, Any], None]


def execute(connection: sa.Connection, sent: Sent) -> None:
    """Execute a statement of the run in another session."""
    text, parameters = sent
    connection.exec_driver_sql(text, parameters or None)


def lock_first(trouble: Trouble, rival: sa.Connection) -> None:
    """Lock with the session *rival* what the next statement of the run locks."""
    try:
        rival.exec_driver_sql(
            "SET SESSION innodb_lock_wait_timeout = 0"
            if rival.dialect.name == "mysql"
            else "SET LOCAL lock_timeout = '50ms'"
        )
        execute(rival, trouble.case.sent[-1])
    except sa.exc.OperationalError as error:
        if locked(error):
            raise Impossible(LOCKED_BY_RUN) from None
        raise
    except sa.exc.IntegrityError:
        raise Impossible(REFUSED) from None


def hold_lock(trouble: Trouble, driver: Any) -> None:
    """Hold what the statement locks until it fails."""
    if trouble.world.backend == "sqlite":
        hold_file(trouble, driver)
    else:
        lock_first(trouble, trouble.session())


def hold_file(trouble: Trouble, driver: sqlite3.Connection) -> None:
    """Lock the file of the statement as far as SQLite then waits."""
    name = str(trouble.world.engines[trouble.point.place].url.database)
    rival = sqlite3.connect(name, timeout=0, isolation_level=None)
    trouble.stack.enter_context(closing(rival))
    point = trouble.point
    try:
        if point.text == COMMIT:
            # A COMMIT waits for readers.
            rival.execute("BEGIN")
            rival.execute("SELECT 1 FROM sqlite_master").fetchone()
        else:
            rival.execute(f"BEGIN {'IMMEDIATE' if point.locks else 'EXCLUSIVE'}")
    except sqlite3.OperationalError:
        raise Impossible(FILE_LOCKED) from None
    assert driver.execute("PRAGMA busy_timeout").fetchone() == (1000,)
    driver.execute("PRAGMA busy_timeout = 20")


def deadlock(trouble: Trouble, _: Any) -> None:
    """Lock in the opposite order: first what the run locks next."""
    earlier = [sent for sent in trouble.case.sent[:-1] if LOCKS.match(sent[0])]
    if not earlier:
        raise Impossible(NO_LOCK_BEFORE)
    world, rival = trouble.world, trouble.session()
    heavy(world, rival)
    lock_first(trouble, rival)
    if world.backend == "mysql":
        rival.exec_driver_sql("SET SESSION innodb_lock_wait_timeout = 60")
    else:
        rival.exec_driver_sql("SET LOCAL lock_timeout = '60s'")
    thread = Thread(target=cross, args=(rival, earlier[0]))
    thread.start()
    trouble.stack.callback(thread.join)
    sessions = world.cloud.sessions(world.engines[trouble.point.place].url)
    wait_for(
        lambda: sessions.blocked() or not thread.is_alive(),
        "a second session that waits for the run",
    )
    if not thread.is_alive():
        raise Impossible(NOT_OPPOSITE)


def cross(rival: sa.Connection, sent: Sent) -> None:
    """Wait for what the run has locked; give everything back."""
    with suppress(sa.exc.DBAPIError):
        execute(rival, sent)
    rival.rollback()


def heavy(world: World, rival: sa.Connection) -> None:
    """Let the server choose the run if it has to end one of two transactions."""
    if world.backend == "postgresql":
        rival.exec_driver_sql(LATE)
        return
    name = saved(str(world.engines[API].url.database))
    for number in range(CHANGES):
        rival.exec_driver_sql(
            f"UPDATE {name}.instance_mappings SET user_id = '{number}'"
        )


def silence(trouble: Trouble, driver: Any) -> None:
    """Let the connection lead to a socket that never answers.

    The server never gets the statement. It keeps the session, with its locks, until the
    run has given up.
    """
    # A commit passes SQLAlchemy's proxy of the connection.
    driver = getattr(driver, "dbapi_connection", driver)
    if trouble.world.backend == "mysql":
        # It is less while the run connects.
        assert 0 < driver._read_timeout <= 30
        number, driver._read_timeout = driver._sock.fileno(), SILENCE
    else:
        assert postgresql_limits.SECONDS == 35
        number = driver.fileno()
        hurry = mock.patch.object(postgresql_limits, "SECONDS", SILENCE)
        trouble.stack.enter_context(hurry)
    trouble.stack.callback(os.close, os.dup(number))
    ours, theirs = socket.socketpair()
    trouble.stack.enter_context(closing(theirs))
    with ours:
        ours.setblocking(False)
        os.dup2(ours.fileno(), number)
