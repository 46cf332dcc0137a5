"""Write what was walked into docs/reliability.rst."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tests.harness import list_table
from tests.harness.cloud import ROOT
from tests.interleavings.grid import Coverage

PAGE = ROOT / "docs" / "reliability.rst"

# The mark of the table.
TABLE = "walked"

HEADS = (
    "command",
    "what happens",
    "server",
    "pairs",
    "the same",
    "cannot happen",
    "runs",
)


class Walked(NamedTuple):
    """Hold the numbers of one walk; *of* is the number of all pairs."""

    command: str
    what: str
    server: str
    pairs: int
    of: int
    same: int
    impossible: int
    runs: int

    def row(self) -> list[str]:
        """Return the row of the table as texts."""
        return [
            self.command,
            self.what,
            self.server,
            f"{self.pairs:,} of {self.of:,}",
            *(f"{number:,}" for number in (self.same, self.impossible, self.runs)),
        ]


def walked(coverage: Coverage, version: str) -> Walked:
    """Return the numbers of a walk on the server of this *version*."""
    return Walked(
        command=coverage.name,
        what=coverage.what,
        server=short(version),
        pairs=coverage.walked,
        of=coverage.points * coverage.width,
        same=coverage.same,
        impossible=sum(coverage.impossible.values()),
        runs=coverage.cases,
    )


def short(version: str) -> str:
    """Return the name of a server with two numbers of its version."""
    return ".".join(version.split(".")[:2])


def shown() -> list[list[str]]:
    """Return the rows of the page's table, without their heads."""
    return list_table.shown(PAGE, TABLE, len(HEADS))


def show(walks: Iterable[Sequence[str | int]]) -> None:
    """Replace the rows of these walks in the page; those of other walks stay.

    Two tests may share the points of one walk.
    """
    new: dict[tuple[str, ...], Walked] = {}
    for values in walks:
        one = Walked(*values)  # type: ignore[arg-type]
        key = (one.command, one.what, one.server)
        before = new.get(key)
        if before:
            one = one._replace(
                pairs=one.pairs + before.pairs,
                same=one.same + before.same,
                impossible=one.impossible + before.impossible,
                runs=one.runs + before.runs,
            )
        new[key] = one
    rows = {tuple(row[:3]): row for row in shown()}
    rows |= {key: one.row() for key, one in new.items()}
    list_table.show(PAGE, TABLE, HEADS, rows.values())
