"""Explore the statements of a check, and compare its report with the rows."""

import json
from collections.abc import Sequence
from typing import Any

from cellmap_migrations.testing.process import Finished
from tests.harness.inside import cellmap_inside
from tests.interleavings.commands import CELL, Commanded, Complaints
from tests.interleavings.grid import Case
from tests.interleavings.judge import KILLED, Judge
from tests.interleavings.prepared import DamagedWorld
from tests.interleavings.world import State


class Checking(Commanded):
    """Explore ``cellmap check`` of a cell that has differences."""

    name = "check"
    makes = DamagedWorld

    def command(self) -> Finished:
        """Check the cell."""
        return cellmap_inside(self.world.cloud, "check", *CELL, "--output", "json")

    def ended(self, codes: Sequence[int]) -> bool:
        """Return True after a second check, of rows that do not change any more."""
        return len(codes) > 1 and codes[-1] in {0, 3}

    def judge(self, case: Case) -> None:
        """Fill in the complaints."""
        if {*case.codes} - {3, 75, KILLED} or case.codes[-1] != 3:
            case.complaints.append(("", f"ended with {case.codes}: {case.errors}"))
        state, nova = self.world.state(), self.nova_alone(case)
        case.complaints += self.changed(nova.mappings, state.mappings)
        if (state.journal, state.versions) != (nova.journal, nova.versions):
            case.complaints.append(("", "the check has written"))
        reports = [each for each in map(differences, case.outputs) if each]
        if case.codes[0] == 3:
            assert case.met is not None
            between = self.wrong(self.before), self.wrong(case.met)
            case.complaints += misreported(reports[0], *between)
        last = self.wrong(state)
        case.complaints += misreported(reports[-1], last, last)

    def wrong(self, state: State) -> set[str]:
        """Return the uuids that a check has to name."""
        judge = Judge(self.world, state)
        return {uuid for uuid, _ in (*judge.wrong(state), *judge.unrepaired(state))}


# Differences that a check reports although nothing is wrong.
INFORMATION = {"queued", "created_at"}

# The most uuids of a kind that a check names.
EXAMPLES = 10


def differences(output: str) -> dict[str, Any]:
    """Return the differences that a check printed, by kind."""
    found: dict[str, Any] = json.loads(output).get("differences", {}) if output else {}
    return {kind: found[kind] for kind in found.keys() - INFORMATION}


def misreported(
    report: dict[str, Any], before: set[str], after: set[str]
) -> Complaints:
    """Yield what a check did not name, or named without a reason.

    It may name each uuid that was wrong *before* an action or *after* it, and must name
    each that was wrong at both times.
    """
    named = {uuid for kind in report.values() for uuid in kind["uuids"]}
    for uuid in named - before - after:
        yield uuid, "was named by the check without a reason"
    if all(kind["count"] <= EXAMPLES for kind in report.values()):
        for uuid in (before & after) - named:
            yield uuid, "was not named by the check"
