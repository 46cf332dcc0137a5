"""Read rows of texts, which the server joins to one text.

To make a Python object of each value takes PyMySQL longer than the server takes to find
the row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

if TYPE_CHECKING:
    from cellmap_migrations.databases.among import Read

TAB, END = (sa.literal_column(text, sa.String) for text in ("'\t'", "'\n'"))


def read_texts(read: Read, select: sa.Select[Any]) -> list[tuple[str, ...]]:
    """Return the rows of *select*, in any order. No value may be NULL.

    If a value contains a tab or a newline, or the server cuts the text off, the rows
    are read one by one.
    """
    rows = select.subquery()
    first, *others = rows.c
    line: sa.ColumnElement[Any] = first
    for column in others:
        line = line + TAB + column
    joined = sa.func.aggregate_strings(line + END, "")
    count, text = read(sa.select(sa.func.count(), joined).select_from(rows))[0]
    found = (text or "").split("\n")
    tabs = count * len(others)
    if found.pop() or len(found) != count or (text or "").count("\t") != tabs:
        return [tuple(row) for row in read(select)]
    return [tuple(line.split("\t")) for line in found]


# What ``as_text`` makes of NULL and of a Boolean.
NULL, FALSE, TRUE = "-", "=0", "=1"


def as_text(column: sa.ColumnElement[Any]) -> sa.ColumnElement[str]:
    """Return SQL for a text that is different for each value of *column* and NULL."""
    null, false, true = (
        sa.literal_column(f"'{text}'", sa.String) for text in (NULL, FALSE, TRUE)
    )
    if isinstance(column.type, sa.Boolean):
        return sa.case((column.is_(None), null), (column, true), else_=false)
    mark = sa.literal_column("'='", sa.String)
    return sa.func.coalesce(mark + column, null)


def of_text(column: sa.Column[Any], text: str) -> Any:
    """Return the value of *column* that ``as_text`` has made to *text*."""
    if text == NULL:
        return None
    return text == TRUE if isinstance(column.type, sa.Boolean) else text[1:]


def number_text(column: sa.ColumnElement[Any]) -> sa.ColumnElement[str]:
    """Return SQL for the digits of an integer *column* that is not NULL."""
    return sa.cast(column, sa.String)
