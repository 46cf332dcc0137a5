"""Read pages of instances, nearly all rows as lines of text.

The values of an instance without a mapping are copied as they are. So the cell's server
joins each row to a line, and the API's server splits the line again. To make a Python
object of each row would take more time than both servers do.
"""

from __future__ import annotations

import string
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations.copying import decide, read
from cellmap_migrations.databases import times
from cellmap_migrations.nova.tables import PLACEHOLDER, instances

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellmap_migrations.cell.cell import Cell
    from cellmap_migrations.copying.plan import Plan
    from cellmap_migrations.databases.database import Database
    from cellmap_migrations.nova.rules import Instance


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """Hold rows after ``after_id``: *plain* ones as lines, the rest as instances.

    *rows* and *plain* are numbers of rows. A line has the uuid and then the plan's
    columns, separated by tabs; lines are separated by newlines.
    """

    after_id: int
    upto_id: int
    rows: int
    lines: str
    plain: int
    rest: Sequence[Instance]


def read_page(
    database: Database, plan: Plan, after_id: int, *, bound: int, rows: int
) -> Page:
    """Return the next *rows* rows after *after_id*, by id, none beyond *bound*."""
    upto_id = read.nth_id(database, after_id, bound=bound, rows=rows) or bound
    odd = is_odd(plan)
    count, plain, text = database.read(
        sa.select(
            sa.func.count(),
            sa.func.count(sa.case((odd, sa.null()), else_=1)),
            sa.func.aggregate_strings(as_line(plan, odd), ""),
        ).where(instances.c.id > after_id, instances.c.id <= upto_id)
    )[0]
    *unsorted, cut_off = (text or "").split("\n")
    # In the order of the index on uuid, the inserts took MariaDB 10.11 with two
    # writers a third less CPU time.
    lines = "\n".join(sorted(unsorted))
    rest: Sequence[Instance] = ()
    if plain < count:
        rest = read.between(database, plan, after_id, upto_id, odd)
    # The server may have cut the text off, or a row was deleted between the reads.
    if (
        cut_off
        or len(unsorted) != plain
        or plain + len(rest) != count
        or not is_sound(lines, plain, 1 + len(plan.columns))
    ):
        plain, lines = 0, ""
        rest = read.between(database, plan, after_id, upto_id, sa.true())
    return Page(
        after_id=after_id,
        upto_id=upto_id,
        rows=count,
        lines=lines,
        plain=plain,
        rest=rest,
    )


def is_odd(plan: Plan) -> sa.ColumnElement[bool]:
    """Return SQL that is true of a row that cannot be a line, and else false.

    Such a row has a NULL, is hidden, or is nova's placeholder.
    """
    return sa.or_(
        sa.func.coalesce(plan.hidden, sa.false()),
        instances.c.uuid.is_(None),
        instances.c.uuid == PLACEHOLDER,
        *(as_text(column).is_(None) for column in plan.columns.values()),
    )


def as_line(plan: Plan, odd: sa.ColumnElement[bool]) -> sa.ColumnElement[Any]:
    """Return SQL for a row's line with a newline, or NULL for a row that is *odd*."""
    tab, end = (sa.literal_column(text, sa.String) for text in ("'\t'", "'\n'"))
    text: sa.ColumnElement[Any] = instances.c.uuid
    for column in plan.columns.values():
        text = text + tab + as_text(column)
    return sa.case((odd, sa.null()), else_=text + end)


def as_text(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Return SQL for a text that each backend converts to the value of *column*."""
    if isinstance(column.type, sa.Boolean):
        one, zero = (sa.literal_column(f"'{flag}'", sa.String) for flag in (1, 0))
        return sa.case((column, one), else_=zero)
    if isinstance(column.type, sa.String):
        return column
    if isinstance(column.type, sa.DateTime):
        return times.AsText(column)
    return sa.cast(column, sa.String)


# The characters that a line may have. None has a meaning in a quoted SQL text, so no
# backend has to escape a line, even if the cell's server is hostile.
PLAIN = (string.ascii_letters + string.digits + "_ .:@/+-\t\n").encode()


def is_sound(text: str, lines: int, fields: int) -> bool:
    """Return True if *text* has as many *lines* and *fields*, and no odd character."""
    if text.count("\t") != lines * (fields - 1) or not text.isascii():
        return False
    # Ten times as fast as a regular expression, and every row passes here.
    return not text.encode().translate(None, PLAIN)


def without_mapped(cell: Cell, plan: Plan, page: Page) -> tuple[Page, int]:
    """Return *page* without mapped lines, and the number mapped to this cell.

    A line with a mapping to another cell, or to none, becomes an instance of the rest.
    A line with a mapping to this cell is counted.
    """
    fold = cell.api.fold
    lines = {text.partition("\t")[0]: text for text in page.lines.split("\n")}
    mappings = decide.find_mappings(cell.api, list(lines))
    kept, doubtful, already = [], [], 0
    for uuid, text in lines.items():
        existing = mappings.get(fold(uuid))
        if existing is None:
            kept.append(text)
        elif existing.cell_id == cell.mapping.id:
            already += 1
        else:
            doubtful.append(uuid)
    asked = set(doubtful)
    rows = read.by_uuids(cell.database, plan, doubtful) if doubtful else []
    rest = [*page.rest, *(row for row in rows if row.uuid in asked)]
    return replace(page, lines="\n".join(kept), plain=len(kept), rest=rest), already
