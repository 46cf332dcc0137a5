"""Format tables for people and for programs that read columns."""

from __future__ import annotations

import sys
from io import StringIO
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from cellmap_migrations.common.secrets import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence


# Columns of a line that is not for a terminal: wider than any row, so that no line is
# wrapped.
UNBOUNDED = 10_000


def lines(heading: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Return the lines of a table, with numbers aligned to the right.

    Without *rows* there is no line, not even the *heading*.
    """
    if not rows:
        return []
    grid = Table(box=None, pad_edge=False, header_style=None)
    for name, value in zip(heading, rows[0], strict=True):
        number = isinstance(value, (int, float))
        grid.add_column(name, justify="right" if number else "left", overflow="fold")
    for row in rows:
        grid.add_row(*map(spell, row))
    terminal = sys.stdout is not None and sys.stdout.isatty()
    text = StringIO()
    width = Console().width if terminal else UNBOUNDED
    Console(file=text, width=width, markup=False, highlight=False).print(grid)
    return [line.rstrip() for line in text.getvalue().splitlines()]


def spell(value: object) -> str:
    """Return *value* as the text of a field."""
    return f"{value:,}" if isinstance(value, int) else one_line(str(value))
