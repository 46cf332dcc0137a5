"""Explore an upgrade that ends with 65, because an operator must decide about rows."""

import re
from collections.abc import Sequence

from tests.harness.inside import downgrade
from tests.interleavings.actions import Prefix
from tests.interleavings.grid import Case, Explorer
from tests.interleavings.judge import Judge, undone
from tests.interleavings.kinds import UNDECIDED
from tests.interleavings.points import Watch
from tests.interleavings.prepared import UndecidedWorld
from tests.interleavings.world import World

LISTED = re.compile(
    r"^(?:conflict|rejected|unresolved|in_flight) +([-0-9a-f]{36})", re.MULTILINE
)

# The last two runs list the same instances.
TWICE = 2


class Undecided(Explorer):
    """Explore the statements of an upgrade that leaves some rows to an operator."""

    name = "undecided"
    makes: type[World] = UndecidedWorld

    def __init__(self, world: World) -> None:
        self.left = {Prefix(action, 0).uuid for action in UNDECIDED}
        super().__init__(world)

    def ended(self, codes: Sequence[int]) -> bool:
        """Return True after two runs since the last action."""
        return len(codes) > TWICE and super().ended(codes)

    def run(self, case: Case) -> int:
        """Upgrade the cell once, and keep the uuids of the instances that it lists."""
        before = len(case.errors)
        code = super().run(case)
        case.outputs[-1] = " ".join(sorted(LISTED.findall(case.errors[before:])))
        return code

    def look_at_stamp(self, case: Case, watch: Watch) -> None:
        """Complain: nothing is proved while rows are left."""
        case.complaints.append(("", f"{watch.points[-1]}: a revision was recorded"))

    def judge(self, case: Case) -> None:
        """Fill in the complaints."""
        state, nova = self.world.state(), self.nova_alone(case)
        judge, stable = Judge(self.world, nova), [65, 65]
        if case.codes[-TWICE:] != stable:
            case.complaints.append(("", f"the runs ended with {case.codes}"))
        if state.versions:
            case.complaints.append(("", f"{state.versions} is recorded"))
        # The last code was judged above.
        found = judge.complaints(state, [*case.codes[:-TWICE], 0])
        # The silent cell may have an instance that was archived here meanwhile.
        excused = self.left | (state.mappings.keys() - state.here.keys())
        case.complaints += [each for each in found if each[0] not in excused]
        for uuid in self.left:
            if state.mappings.get(uuid) != nova.mappings.get(uuid):
                case.complaints.append((uuid, "was not left"))
        wanted = " ".join(sorted(self.left))
        for listed in case.outputs[-TWICE:]:
            if listed != wanted:
                case.complaints.append(("", f"listed {listed}, not {wanted}"))
        down = downgrade(self.world.cloud)
        if down.code != 0:
            case.complaints.append(
                ("", f"downgrade ended with {down.code}: {down.err}")
            )
        case.complaints += undone(judge, state, self.world.state())
