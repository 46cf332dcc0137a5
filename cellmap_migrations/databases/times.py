"""Define SQL functions of times for each kind of database.

All times are in UTC. nova's columns have no time zone. A converted PostgreSQL database
may have ``timestamptz``, but the time zone of every transaction is UTC.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class AsText(FunctionElement[str]):
    """Convert a time to a text that every database reads as the same time."""

    name = "as_text"
    type = sa.String()
    inherit_cache = True


class Seconds(FunctionElement[int]):
    """Convert a time to seconds since 1970, or to NULL if it is invalid."""

    name = "seconds"
    type = sa.BigInteger()
    inherit_cache = True


def time_of(element: FunctionElement[Any]) -> sa.ColumnElement[Any]:
    """Return the only argument of *element*."""
    [time] = element.clauses
    return time


@compiles(AsText)
def as_text(element: AsText, compiler: Any, **options: Any) -> str:
    """Cast the time to text, which has no time zone."""
    return str(compiler.process(sa.cast(time_of(element), sa.String), **options))


@compiles(AsText, "postgresql")
def as_text_of_postgresql(element: AsText, compiler: Any, **options: Any) -> str:
    """Remove the +00 of a timestamptz, which other databases refuse."""
    time = sa.cast(time_of(element), sa.DateTime)
    return str(compiler.process(sa.cast(time, sa.String), **options))


@compiles(Seconds, "postgresql")
def seconds_of_postgresql(element: Seconds, compiler: Any, **options: Any) -> str:
    """Return NULL for infinity, which cannot be added up.

    Not EXTRACT, which returns a numeric since PostgreSQL 14.
    """
    time = time_of(element)
    epoch: sa.ColumnElement[Any] = sa.literal_column("'epoch'")
    whole = sa.cast(sa.func.floor(sa.func.date_part(epoch, time)), sa.BigInteger)
    return str(compiler.process(sa.case((sa.func.isfinite(time), whole)), **options))


@compiles(Seconds, "mysql", "mariadb")
def seconds_of_mysql(element: Seconds, compiler: Any, **options: Any) -> str:
    """Subtract the seconds from the year 0 to 1970 from TO_SECONDS.

    Not UNIX_TIMESTAMP, which depends on the time zone of the session.
    """
    epoch: sa.ColumnElement[Any] = sa.literal_column("62167219200")
    found = sa.func.to_seconds(time_of(element)) - epoch
    return str(compiler.process(found, **options))


@compiles(Seconds, "sqlite")
def seconds_of_sqlite(element: Seconds, compiler: Any, **options: Any) -> str:
    """Apply strftime to the stored text."""
    found = sa.func.strftime(sa.literal_column("'%s'"), time_of(element))
    return str(compiler.process(sa.cast(found, sa.BigInteger), **options))
