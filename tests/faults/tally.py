"""Count the causes of a fault and the ends of the runs, for docs/reliability.rst."""

from collections import Counter
from dataclasses import dataclass, field
from itertools import groupby
from signal import SIGKILL
from typing import TYPE_CHECKING

from tests.harness import list_table
from tests.harness.cloud import ROOT

if TYPE_CHECKING:
    import pytest


DATABASES = {"mysql": "MariaDB", "postgresql": "PostgreSQL", "sqlite": "SQLite"}

PAGE = ROOT / "docs" / "reliability.rst"

# The mark of the table.
TABLE = "measured"

HEADS = ("what happened", "database", "times", "exit codes of the runs")

KEY = "tally"


@dataclass
class Tally:
    """The rows of the table that one test answers for."""

    fault: str
    times: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    rows: set[int] = field(default_factory=set)

    def add(self, *codes: int, times: int = 1, rows: int = 0) -> None:
        """Count runs of one cell, one after another, during *times* such faults.

        The cell has *rows*, if it is for them that it was made.
        """
        self.times += times
        self.rows |= {rows} - {0}
        self.ends[" then ".join(map(spelled, groups(codes)))] += 1

    def row(self, database: str) -> list[str]:
        """Return the row of the table as texts."""
        ended = [
            how if len(self.ends) == 1 else f"{how} ({count} times)"
            for how, count in self.ends.most_common()
        ]
        sizes = " and ".join(f"{rows:,}" for rows in sorted(self.rows))
        times = f"{self.times:,} ({sizes} instances)" if sizes else f"{self.times:,}"
        return [self.fault, database, times, "; ".join(ended)]

    def plus(self, other: "Tally") -> "Tally":
        """Return what two tests of the same fault counted together."""
        times, ends = self.times + other.times, self.ends + other.ends
        return Tally(self.fault, times, ends, self.rows | other.rows)


def cause(item: "pytest.Item") -> tuple[str, str] | None:
    """Return the fault and the database that a test's marker names, if it has one."""
    if (marker := item.get_closest_marker("fault")) is None:
        return None
    known = getattr(item, "callspec", None)
    backend = known.params.get("backend", "sqlite") if known else "sqlite"
    usual = getattr(getattr(item, "cls", None), "database", DATABASES[backend])
    return marker.args[0], marker.kwargs.get("database", usual)


def groups(codes: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return each code with how often it came in a row."""
    return [(code, len(list(same))) for code, same in groupby(codes)]


def spelled(group: tuple[int, int]) -> str:
    """Return an exit code as the page writes it."""
    code, count = group
    word = "killed" if code == -SIGKILL else str(code)
    return word if count == 1 else f"{word} ({count} times)"


def shown() -> list[list[str]]:
    """Return the rows of the page's table, without their heads."""
    return list_table.shown(PAGE, TABLE, len(HEADS))


def show(tallies: dict[tuple[str, str], Tally]) -> None:
    """Let the page's table be what was counted."""
    rows = [tally.row(where) for (_, where), tally in tallies.items()]
    list_table.show(PAGE, TABLE, HEADS, rows)
