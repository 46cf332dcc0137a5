"""Test whether a column has one of many values, which are sent as one parameter."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


# The most values in one statement. MariaDB makes a join of an IN with 1,000 values, and
# then a SELECT ... FOR UPDATE of few rows may read and lock all rows of the table.
MOST = 900

T = TypeVar("T")

# Executes a SELECT, and returns its rows.
Read = Callable[[Any], "Sequence[Any]"]


def reader(connection: sa.Connection) -> Read:
    """Return a function that executes a SELECT on *connection*, in its transaction."""
    return lambda select: connection.execute(select).all()


def parts(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield up to MOST of the *values* at a time."""
    for start in range(0, len(values), MOST):
        yield values[start : start + MOST]


def among(
    column: sa.ColumnElement[Any], values: Sequence[Any]
) -> sa.ColumnElement[bool]:
    """Return SQL that is true if *column* has one of at most MOST *values*.

    SQLAlchemy's ``in_`` makes a parameter of each value, and PostgreSQL's protocol has
    no more than 65,535 of them. Making them takes longer than the search in an index.
    """
    if not values:
        return sa.false()
    assert len(values) <= MOST
    of_text = isinstance(column.type, sa.String)
    bound = sa.bindparam("among", values, Values(of_text=of_text), unique=True)
    return Among(column, bound)


def read_among(
    read: Read,
    select: sa.Select[Any],
    column: sa.ColumnElement[Any],
    values: Sequence[Any],
) -> list[Any]:
    """Return the rows of *select* in which *column* has one of the *values*."""
    return [
        row for some in parts(values) for row in read(select.where(among(column, some)))
    ]


class Values(sa.types.TypeDecorator[Any]):
    """Pass a list of texts or of integers to the driver, in the driver's way."""

    impl = sa.String
    cache_ok = True

    def __init__(self, *, of_text: bool) -> None:
        super().__init__()
        self.of_text = of_text

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """Return an array for PostgreSQL, and else a type that changes nothing."""
        if dialect.name == "postgresql":
            kind = sa.Text() if self.of_text else sa.BigInteger()
            return dialect.type_descriptor(ARRAY(kind))
        return dialect.type_descriptor(sa.types.NullType())

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> Any:
        """Return a tuple for PyMySQL, which writes it as a list in parentheses."""
        if dialect.name == "sqlite":
            return json.dumps([*value])
        return [*value] if dialect.name == "postgresql" else tuple(value)


class Among(FunctionElement[bool]):
    """Compare a column with the values of a parameter.

    Without a type: to a Boolean SQLAlchemy adds ``= 1``, which hides the index.
    """

    name = "among"
    inherit_cache = True


def compiled(element: Among, compiler: Any, form: str, **options: Any) -> str:
    """Return *form* with the SQL of the column and of the parameter."""
    column, values = (compiler.process(each, **options) for each in element.clauses)
    return form.format(column=column, values=values)


@compiles(Among, "mysql", "mariadb")
def among_of_mysql(element: Among, compiler: Any, **options: Any) -> str:
    """Compare with literals, which take the collation of the column.

    The column of a JSON_TABLE has a collation of its own, and could make the index
    useless.
    """
    return compiled(element, compiler, "{column} IN {values}", **options)


@compiles(Among, "postgresql")
def among_of_postgresql(element: Among, compiler: Any, **options: Any) -> str:
    """Compare with an array."""
    return compiled(element, compiler, "{column} = ANY ({values})", **options)


@compiles(Among, "sqlite")
def among_of_sqlite(element: Among, compiler: Any, **options: Any) -> str:
    """Compare with a list in JSON."""
    form = "{column} IN (SELECT value FROM json_each({values}))"
    return compiled(element, compiler, form, **options)
