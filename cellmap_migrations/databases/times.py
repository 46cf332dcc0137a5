"""SQL for times, which each kind of database writes in its own way.

Times are UTC: nova's columns have no time zone, and those of a converted PostgreSQL
database (``timestamptz``) are read and written in transactions whose time zone is UTC.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class AsText(FunctionElement[str]):
    """A time as a text that every database takes for the same time."""

    name = "as_text"
    type = sa.String()
    inherit_cache = True


class Seconds(FunctionElement[int]):
    """The seconds of a time since 1970, or NULL for a value that is no time."""

    name = "seconds"
    type = sa.BigInteger()
    inherit_cache = True


def time_of(element: FunctionElement[Any]) -> sa.ColumnElement[Any]:
    """Return the only argument of *element*."""
    [time] = element.clauses
    return time


@compiles(AsText)
def as_text(element: AsText, compiler: Any, **options: Any) -> str:
    """Use the server's own text: it has no time zone."""
    return str(compiler.process(sa.cast(time_of(element), sa.String), **options))


@compiles(AsText, "postgresql")
def as_text_of_postgresql(element: AsText, compiler: Any, **options: Any) -> str:
    """Take off the +00 of a timestamptz, which other databases refuse."""
    time = sa.cast(time_of(element), sa.DateTime)
    return str(compiler.process(sa.cast(time, sa.String), **options))


@compiles(Seconds, "postgresql")
def seconds_of_postgresql(element: Seconds, compiler: Any, **options: Any) -> str:
    """Leave out infinity, which no sum survives.

    Not EXTRACT, which returns a numeric since PostgreSQL 14.
    """
    time = time_of(element)
    epoch: sa.ColumnElement[Any] = sa.literal_column("'epoch'")
    whole = sa.cast(sa.func.floor(sa.func.date_part(epoch, time)), sa.BigInteger)
    return str(compiler.process(sa.case((sa.func.isfinite(time), whole)), **options))


@compiles(Seconds, "mysql", "mariadb")
def seconds_of_mysql(element: Seconds, compiler: Any, **options: Any) -> str:
    """Count without UNIX_TIMESTAMP, which depends on the session's time zone.

    TO_SECONDS begins with the year 0.
    """
    epoch: sa.ColumnElement[Any] = sa.literal_column("62167219200")
    found = sa.func.to_seconds(time_of(element)) - epoch
    return str(compiler.process(found, **options))


@compiles(Seconds, "sqlite")
def seconds_of_sqlite(element: Seconds, compiler: Any, **options: Any) -> str:
    """Let strftime read the text that is stored."""
    found = sa.func.strftime(sa.literal_column("'%s'"), time_of(element))
    return str(compiler.process(sa.cast(found, sa.BigInteger), **options))
