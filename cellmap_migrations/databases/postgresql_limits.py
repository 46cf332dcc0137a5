"""Limit the duration of statements on PostgreSQL, without session state."""

from __future__ import annotations

import importlib
import re
import time
from contextlib import suppress
from datetime import timezone
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations.databases.base import READING, autocommits
from cellmap_migrations.databases.codes import Fault

if TYPE_CHECKING:
    from collections.abc import Generator
    from datetime import datetime


# Seconds without an answer. A server that is alive ends every statement after 30 s.
SECONDS = 35.0

# libpq returns no SQLSTATE for a refused connection. Its own messages are English. The
# server's are in the language of lc_messages; if none matches, the fault is TRANSIENT.
# The first pattern that matches counts. The comment is the server's SQLSTATE.
REFUSED = {
    r"is not permitted to log in": Fault.ACCOUNT,  # 28000
    r"no pg_hba\.conf entry|pg_hba\.conf rejects": Fault.HOST,  # 28000
    r"requires a valid client certificate": Fault.TLS,  # 28000
    r"only supported on hostssl connections": Fault.TLS,  # F0000
    r"SSL required|TLS .*required": Fault.TLS,  # PgBouncer
    r"server does not support SSL|SSL connection was established with": Fault.TLS,
    r"SSL error: .*(certificate|version|protocol|handshake|cipher| ca\b)": Fault.TLS,
    r"server certificate for": Fault.TLS,
    r"server (did not request|accepted connection without) .*certificate": Fault.TLS,
    r"(certificate|private key) file|could not create SSL context": Fault.TLS,
    r"could not (load system root|get home directory)": Fault.TLS,
    r"authentication method|SASL authentication mechanisms|OAuth": Fault.METHOD,
    r"channel binding (is )?required|requirepeer": Fault.METHOD,
    r"GSSAPI encryption.* required": Fault.METHOD,
    r"authentication failed|certificate validation": Fault.LOGIN,  # 28P01, 28000
    r"no password supplied|login rejected|no such user": Fault.LOGIN,
    r'role "" does not exist': Fault.LOGIN,  # 28000
    r"permission denied for database": Fault.RIGHTS,  # 42501
    r"permission denied to set parameter": Fault.ARGUMENT,  # 42501
    r"database .* (does not exist|has disappeared)": Fault.MISSING,  # 3D000
    r"cannot connect to invalid database": Fault.MISSING,  # 55000
    r"no such database": Fault.MISSING,  # PgBouncer
    r"unrecognized configuration parameter": Fault.ARGUMENT,  # 42704
    r"unsupported startup parameter": Fault.ARGUMENT,  # PgBouncer
    r"invalid (\S+ )?value": Fault.ARGUMENT,  # 22023
    r"parameter .* cannot be (set|changed)": Fault.ARGUMENT,  # 55P02
    r"invalid command-line argument": Fault.ARGUMENT,  # 42601
    r"conversion between .* is not supported": Fault.ARGUMENT,  # 0A000
    r"unsupported frontend protocol": Fault.ARGUMENT,  # 0A000
    r"server only supports protocol version": Fault.ARGUMENT,
    r"invalid (connection option|port number|SSL protocol version)": Fault.ARGUMENT,
    r"could not match \d+ (host names|port numbers)": Fault.ARGUMENT,
    r"weak sslmode|host name must be specified": Fault.ARGUMENT,
    r"codec not available": Fault.ARGUMENT,
}


def fault_of(words: str) -> Fault | None:
    """Return the fault that the message *words* of libpq means, or None."""
    # A name of a user or database could match a pattern.
    nameless = re.sub('"[^"]*"', '""', words)
    return next((REFUSED[each] for each in REFUSED if re.search(each, nameless)), None)


def limit_waits(connection: Any) -> None:
    """Close *connection* after SECONDS without an answer.

    libpq has no such limit: tcp_user_timeout applies only until the kernel of the peer,
    which may be a proxy, has received the data. psycopg 3.2 wakes every 0.1 s.
    """
    wait = connection.wait

    def bounded(talk: Generator[Any, Any, Any], *args: Any, **kwargs: Any) -> Any:
        return wait(watch_progress(connection, talk), *args, **kwargs)

    connection.wait = bounded


def watch_progress(
    connection: Any, talk: Generator[Any, Any, Any]
) -> Generator[Any, Any, Any]:
    """Run psycopg's generator *talk*; raise OperationalError after SECONDS of silence.

    Closes *connection* before that.
    """
    try:
        state, moved = next(talk), time.monotonic()
        while True:
            ready = yield state
            if ready:
                moved = time.monotonic()
            elif time.monotonic() - moved > SECONDS:
                connection.close()
                raise connection.OperationalError(f"no answer for {SECONDS:g} s")
            state = talk.send(ready)
    except StopIteration as end:
        return end.value


def load_times(connection: Any) -> None:
    """Let *connection* return times without a zone, in UTC as nova stores them.

    A time that Python cannot represent becomes None: infinity, and years before 1 or
    after 9999.
    """
    psycopg: Any = importlib.import_module("psycopg")
    # The default loader is in C, and a subclass cannot override its methods.
    loaders: Any = importlib.import_module("psycopg.types.datetime")

    def loader(usual: Any) -> type:
        def load(self: Any, data: Any) -> datetime | None:
            with suppress(psycopg.DataError, OverflowError):
                found: datetime = usual.load(self, data)
                if found.tzinfo is None:
                    return found
                return found.astimezone(timezone.utc).replace(tzinfo=None)
            return None

        return type(usual.__name__, (usual,), {"load": load})

    for name in ("timestamp", "timestamptz"):
        usual = getattr(loaders, f"{name.capitalize()}Loader")
        connection.adapters.register_loader(name, loader(usual))


LIMITS = "; ".join(
    f"SET LOCAL {setting}"
    for setting in (
        # If the two servers differ in it, one takes the day of a date for the month.
        "datestyle = 'ISO, MDY'",
        "timezone = 'UTC'",
        "lock_timeout = '1s'",
        "statement_timeout = '30s'",
        "idle_in_transaction_session_timeout = '5s'",
    )
)

BEGIN, BEGIN_READ_ONLY = f"BEGIN; {LIMITS}", f"BEGIN READ ONLY; {LIMITS}"


def limit(engine: sa.Engine, *, read_only: bool) -> None:
    """Begin each transaction of *engine* with LIMITS.

    The server refuses writes in the transactions of a *read_only* engine.
    """
    # SQLAlchemy would query each server for this type, which nova does not use.
    engine.dialect.use_native_hstore = False  # type: ignore[attr-defined]

    # Before SQLAlchemy's own listener, which queries the new session.
    @sa.event.listens_for(engine, "connect", insert=True)
    def connected(driver: Any, _: Any) -> None:
        limit_waits(driver)
        load_times(driver)
        # A prepared statement would stay in the session, which a pooler passes on.
        driver.prepare_threshold = None
        driver.autocommit = True

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        if autocommits(connection):
            return
        # Otherwise psycopg sends its own BEGIN in another round trip. SQLAlchemy resets
        # autocommit after each use of AUTOCOMMIT.
        driver_connection(connection).autocommit = True
        reads = read_only or READING in connection.get_execution_options()
        connection.exec_driver_sql(BEGIN_READ_ONLY if reads else BEGIN)

    enclose_autocommit(engine, BEGIN_READ_ONLY if read_only else BEGIN)


def enclose_autocommit(engine: sa.Engine, begin: str) -> None:
    """Execute *begin* before each AUTOCOMMIT statement, and COMMIT after it."""

    @sa.event.listens_for(engine, "before_cursor_execute")
    def before(connection: sa.Connection, *_: Any) -> None:
        if autocommits(connection):
            driver_connection(connection).execute(begin)

    @sa.event.listens_for(engine, "after_cursor_execute")
    def after(connection: sa.Connection, *_: Any) -> None:
        if autocommits(connection):
            driver_connection(connection).commit()

    @sa.event.listens_for(engine, "handle_error")
    def failed(context: sa.engine.ExceptionContext) -> None:
        connection = context.connection
        if connection is not None and autocommits(connection):
            driver = driver_connection(connection)
            if not driver.closed:
                driver.rollback()


def driver_connection(connection: sa.Connection) -> Any:
    """Return psycopg's connection inside *connection*."""
    return connection.connection.driver_connection
