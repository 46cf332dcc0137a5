"""Compare a cell for a report, and find the rows that an operator decides about."""

from __future__ import annotations

import shlex
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellmap_migrations.comparing.differences import (
    COMPARED,
    INFORMATION,
    KINDS,
    Difference,
    Kind,
)
from cellmap_migrations.comparing.tally import Tally
from cellmap_migrations.copying.plan import make_plan
from cellmap_migrations.nova.cells import ALL, LOCAL
from cellmap_migrations.nova.rules import WRITTEN, Outcome
from cellmap_migrations.operations.check import compare
from cellmap_migrations.operations.preview import count_instances
from cellmap_migrations.operations.repair import DECIDED_BY_OPERATOR

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cellmap_migrations.cell.cell import Cell


# The most rows of a cell that are kept for an operator; all rows are counted.
MOST = 10_000

# No command of this package corrects these. An unresolved instance needs another run
# when the other cell answers.
UNDECIDED = (*DECIDED_BY_OPERATOR, Kind.UNRESOLVED)

# Outcomes of instances whose mapping is missing, has no cell or names a cell without
# the instance. While such an instance is not deleted, nova answers 404 for it.
LOST = (*WRITTEN, Outcome.REJECTED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Undecided:
    """Hold a row that an operator decides about, and the *command* that decides it."""

    kind: str
    uuid: str
    why: str
    command: str


class Findings(Tally):
    """Count all differences of a cell, and keep up to MOST undecided rows.

    *lost* is the number of live servers for which nova answers 404, by kind. *needing*
    is the number of *instances* that need a mapping to some cell.
    """

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.selector = selector(cell)
        self.rows: list[Undecided] = []
        self.lost: Counter[Kind] = Counter()
        self.doubts: list[str] = []
        self.instances = self.needing = 0

    def add(self, differences: Iterable[Difference]) -> None:
        """Count some differences, and keep those that an operator decides about."""
        page = list(differences)
        super().add(page)
        self.lost.update(each.kind for each in page if is_lost(each))
        undecided = [each for each in page if each.kind in UNDECIDED]
        self.rows += [
            Undecided(
                kind=each.kind.value,
                uuid=each.uuid,
                why=each.why,
                command=command(each, self.selector),
            )
            for each in undecided[: MOST - len(self.rows)]
        ]

    @property
    def undecided(self) -> int:
        """Return the number of rows that an operator decides about."""
        return sum(self.counts[kind] for kind in UNDECIDED)

    @property
    def mapped(self) -> int:
        """Return the number of instances whose mapping nova can use."""
        return self.needing - sum(self.counts[kind] for kind in KINDS.values())

    @property
    def correctable(self) -> dict[str, int]:
        """Return the counts of the kinds that a command of this package corrects."""
        others = (*UNDECIDED, *INFORMATION)
        return {
            kind.value: self.counts[kind] for kind in self.kinds() if kind not in others
        }


def examine(cell: Cell) -> Findings:
    """Compare *cell* with its mappings as ``check`` does; raise its errors."""
    findings = Findings(cell)
    findings.doubts = [str(doubt) for doubt in compare(cell, findings)]
    counts = count_instances(cell, make_plan(cell, COMPARED))
    findings.instances = counts.total()
    findings.needing = counts[Outcome.ALREADY]
    return findings


def is_lost(difference: Difference) -> bool:
    """Return True if nova answers 404 for the server of *difference*."""
    verdict = difference.verdict
    return (
        verdict is not None
        and verdict.outcome in LOST
        and not verdict.instance.deleted
        and difference.kind is KINDS[verdict.outcome]
    )


def selector(cell: Cell) -> str:
    """Return the cell's name for a command line, or its uuid without a clear name."""
    name = cell.mapping.name
    names = [each.name for each in cell.cells.values()]
    clear = name and name not in (ALL, LOCAL) and names.count(name) == 1
    return shlex.quote(name if name and clear else cell.mapping.uuid)


def command(difference: Difference, cell: str) -> str:
    """Return the lines that decide about a row: SQL or a command, then what to run.

    A value in angle brackets is the operator's decision.
    """
    again = f"cellmap upgrade --cell {cell}"
    decisions = {
        Kind.CONFLICT: (
            "-- in the database of the cell with the wrong copy:",
            update("instances", "deleted = id", difference.uuid),
            again,
        ),
        Kind.REJECTED: (
            "-- in the database of this cell:",
            update("instances", missing_values(difference), difference.uuid),
            again,
        ),
        Kind.IN_FLIGHT: (
            f"openstack server delete {shlex.quote(difference.uuid)}",
            again,
        ),
        Kind.ONLY_HIDDEN: (
            "-- in the database of the cell with the hidden copy:",
            update("instances", "hidden = FALSE", difference.uuid),
            "cellmap repair --cell all",
        ),
        Kind.PROJECT_ID: (
            "-- in the API database:",
            update("instance_mappings", project(difference), difference.uuid),
        ),
        Kind.UNRESOLVED: (again,),
    }
    return "\n".join(decisions[difference.kind])


# The columns without which an instance is rejected.
OWNER = ("project_id", "user_id")


def missing_values(difference: Difference) -> str:
    """Return the assignments that a rejected instance needs, for the operator."""
    verdict = difference.verdict
    values = verdict.instance.values if verdict else {}
    names = [name for name in OWNER if values.get(name, name) is None]
    return ", ".join(f"{name} = '<{name}>'" for name in names)


def project(difference: Difference) -> str:
    """Return the assignment of the instance's project, or one for the operator."""
    verdict = difference.verdict
    value = verdict.instance.values["project_id"] if verdict else None
    return f"project_id = {literal('<project_id>' if value is None else value)}"


def update(table: str, change: str, uuid: str) -> str:
    """Return an UPDATE of the row of *uuid* in two short lines, for people."""
    column = "uuid" if table == "instances" else "instance_uuid"
    return f"UPDATE {table} SET {change}\nWHERE {column} = {literal(uuid)};"  # noqa: S608 - shown, and never executed


def literal(text: str) -> str:
    """Return *text* as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"
