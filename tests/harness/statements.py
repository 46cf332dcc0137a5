"""Collect the SQL that is sent to a database."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

TEXT = re.compile(r"'(?:[^'\\]|''|\\.)*'")

# Types have lengths, and SQLAlchemy writes no space before the arguments of a function.
FUNCTION = re.compile(r"\b([a-z_][\w.]*)\((?!\d)", re.IGNORECASE)


@contextmanager
def collected() -> Iterator[list[str]]:
    """Yield a list that gets each statement which SQLAlchemy sends meanwhile."""
    seen: list[str] = []

    def after(_: sa.Connection, __: Any, statement: str, *___: Any) -> None:
        seen.append(statement)

    sa.event.listen(sa.Engine, "after_cursor_execute", after)
    try:
        yield seen
    finally:
        sa.event.remove(sa.Engine, "after_cursor_execute", after)


def functions(statements: Iterable[str]) -> set[str]:
    """Return the names of the SQL functions in *statements*, in lower case."""
    # A PRAGMA of SQLite looks like a function, and is none.
    calling = (each for each in statements if not each.startswith("PRAGMA"))
    without_texts = (TEXT.sub("''", statement) for statement in calling)
    found = (FUNCTION.findall(statement) for statement in without_texts)
    return {name.lower().rpartition(".")[2] for names in found for name in names}
