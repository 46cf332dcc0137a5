"""Map one cell; return its output, its journal entries and its revision."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cellmap_migrations.testing.cell import Cell
from tests.harness.cloud import Cloud
from tests.harness.inside import alembic_inside, cellmap_inside

MAPS = "0001"

OUTCOMES = (
    "mapped",
    "already",
    "filled",
    "in_flight",
    "hidden",
    "placeholder",
    "elsewhere",
    "moved",
    "conflict",
    "unresolved",
    "rejected",
)

Counts = dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Ended:
    """Hold the result of an upgrade: outcomes in its JSON, and those in the journal."""

    code: int
    told: Counts
    journal: Counts
    stamped: bool
    err: str = field(default="", compare=False)
    result: dict[str, Any] = field(default_factory=dict, compare=False)

    def listing(self) -> list[str]:
        """Return the lines on stderr, with one space between two columns."""
        return [" ".join(line.split()) for line in self.err.splitlines()]


def complete(**counts: int) -> Ended:
    """Return the expected result of a first upgrade without leftovers."""
    return Ended(code=0, told=counts, journal=counts, stamped=True)


def stopped(code: int, **counts: int) -> Ended:
    """Return the expected result of a first upgrade with leftovers."""
    return Ended(code=code, told=counts, journal=counts, stamped=False)


def map_cell(cloud: Cloud, cell: Cell, **x: str) -> Ended:
    """Map the instances of *cell*, with these further ``-x`` options."""
    options = {"output": "json", **x}
    finished = alembic_inside(cloud, "upgrade", MAPS, cell=cell.uuid, x=options)
    result = json.loads(finished.out)
    return Ended(
        code=finished.code,
        told=outcomes(result),
        journal=journaled(cloud, cell),
        stamped=cell.uuid in cloud.versions(),
        err=finished.err,
        result=result,
    )


def dry_run(cloud: Cloud, cell: Cell, **options: str) -> tuple[int, Counts]:
    """Return the exit code and the outcomes of a dry run of ``map_cell``."""
    named = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    words = ("--cell", cell.uuid, "--output", "json", "--dry-run", *named)
    finished = cellmap_inside(cloud, "upgrade", MAPS, *words)
    return finished.code, outcomes(json.loads(finished.out))


def outcomes(counts: Mapping[str, int]) -> Counts:
    """Return the outcomes among *counts* that are not 0."""
    return {name: counts[name] for name in OUTCOMES if counts[name]}


def journaled(cloud: Cloud, cell: Cell) -> Counts:
    """Return the outcomes in the journal of 0001, of all batches together."""
    sums: Counter[str] = Counter()
    for batch in cloud.journal(cell):
        if batch["revision"] == MAPS:
            sums.update({name: batch[name] for name in OUTCOMES})
    return outcomes(sums)
