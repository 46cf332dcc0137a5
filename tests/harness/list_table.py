"""Write and read a table between the comments ``mark`` and ``end of mark``."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

Rows = Iterable[Sequence[str]]


def pattern(mark: str) -> re.Pattern[str]:
    """Return the pattern of a table with its comments."""
    return re.compile(rf"(\.\. {mark}\n\n)(.*?)(\n\n\.\. end of {mark}\n)", re.DOTALL)


def text(heads: Sequence[str], rows: Rows) -> str:
    """Return a table as reStructuredText."""
    lines = [
        f"   {' ' if number else '*'} - {value}"
        for row in [heads, *sorted(rows, key=tuple)]
        for number, value in enumerate(row)
    ]
    return "\n".join([".. list-table::", "   :header-rows: 1", "", *lines])


def shown(page: Path, mark: str, width: int) -> list[list[str]]:
    """Return the rows of the table, of *width* columns, without their heads."""
    found = pattern(mark).search(page.read_text())
    assert found, f"{page} has no table {mark}"
    values = re.findall(r"^   [* ] - (.*)$", found[2], re.MULTILINE)
    rows = [values[start : start + width] for start in range(0, len(values), width)]
    return rows[1:]


def show(page: Path, mark: str, heads: Sequence[str], rows: Rows) -> None:
    """Replace the rows of the table."""
    new = text(heads, rows)
    page.write_text(
        pattern(mark).sub(lambda old: old[1] + new + old[3], page.read_text())
    )
