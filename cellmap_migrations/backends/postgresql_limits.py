"""Limits of PostgreSQL for one transaction, so that no session keeps them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from cellmap_migrations.backends import postgresql_answers
from cellmap_migrations.backends.options import READING, autocommits

LIMITS = "; ".join(
    f"SET LOCAL {setting}"
    for setting in (
        # A day is taken for a month otherwise, where the two servers differ.
        "datestyle = 'ISO, MDY'",
        "timezone = 'UTC'",
        "lock_timeout = '1s'",
        "statement_timeout = '30s'",
        "idle_in_transaction_session_timeout = '5s'",
    )
)
BEGIN, BEGIN_READ_ONLY = f"BEGIN; {LIMITS}", f"BEGIN READ ONLY; {LIMITS}"


def limit(engine: sa.Engine, *, read_only: bool) -> None:
    """Begin each transaction of *engine* with limits.

    The server refuses writes in those of a *read_only* engine.
    """
    # No table of nova's has the type, for which SQLAlchemy would ask each server.
    engine.dialect.use_native_hstore = False  # type: ignore[attr-defined]

    # First: SQLAlchemy asks a new session about itself, and may wait for it.
    @sa.event.listens_for(engine, "connect", insert=True)
    def connected(driver: Any, _: Any) -> None:
        postgresql_answers.bound(driver)
        postgresql_answers.load_times(driver)
        # A prepared statement would stay in a session that nova gets next.
        driver.prepare_threshold = None
        driver.autocommit = True

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        if autocommits(connection):
            return
        # psycopg would send a BEGIN of its own, in another round trip. SQLAlchemy turns
        # this off after each use of AUTOCOMMIT.
        of(connection).autocommit = True
        reads = read_only or READING in connection.get_execution_options()
        connection.exec_driver_sql(BEGIN_READ_ONLY if reads else BEGIN)

    enclose(engine, BEGIN_READ_ONLY if read_only else BEGIN)


def enclose(engine: sa.Engine, begin: str) -> None:
    """Put each statement that is in AUTOCOMMIT between *begin* and COMMIT."""

    @sa.event.listens_for(engine, "before_cursor_execute")
    def before(connection: sa.Connection, *_: Any) -> None:
        if autocommits(connection):
            of(connection).execute(begin)

    @sa.event.listens_for(engine, "after_cursor_execute")
    def after(connection: sa.Connection, *_: Any) -> None:
        if autocommits(connection):
            of(connection).commit()

    @sa.event.listens_for(engine, "handle_error")
    def failed(context: sa.engine.ExceptionContext) -> None:
        connection = context.connection
        if connection is not None and autocommits(connection):
            driver = of(connection)
            if not driver.closed:
                driver.rollback()


def of(connection: sa.Connection) -> Any:
    """Return psycopg's connection."""
    return connection.connection.driver_connection
