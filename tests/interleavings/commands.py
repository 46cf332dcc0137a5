"""Explore the statements of the commands that follow an upgrade."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from cellmap_migrations.testing.process import Finished
from tests.harness.inside import alembic_inside, cellmap_inside, downgrade, upgrade
from tests.interleavings.actions import Prefix
from tests.interleavings.grid import Case, Explorer
from tests.interleavings.judge import KILLED, Judge
from tests.interleavings.points import Watch
from tests.interleavings.prepared import DamagedWorld, UpgradedWorld
from tests.interleavings.world import Rows, State, World, same_cells

CELL = ("--cell", "cell1")

Complaints = Iterator[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class End:
    """Hold a case, the rows at its end, and the rows that nova alone leaves."""

    case: Case
    state: State
    nova: State


class Commanded(Explorer):
    """Explore the statements of a command in a world that was prepared for it."""

    makes: type[World] = UpgradedWorld

    def all_done(self) -> State:
        """Return the rows that nova leaves, and leave out impossible prefixes."""
        self.world.restore()
        self.prefixes = [each for each in self.prefixes if self.happens(each)]
        return self.world.state()

    def happens(self, prefix: Prefix) -> bool:
        """Do the steps of a prefix; return False if a mapping is there already."""
        try:
            for step in prefix.action.steps:
                self.world.do(prefix, step)
        except sa.exc.IntegrityError:
            return False
        return True

    def look_at_stamp(self, case: Case, watch: Watch) -> None:
        """Leave the recorded revision to the end: no command adds one."""

    def judge(self, case: Case) -> None:
        """Fill in the complaints."""
        codes = case.codes
        if codes[-1] != 0 or {*codes} - {0, 65, 75, KILLED}:
            case.complaints.append(("", f"the runs ended with {codes}: {case.errors}"))
        state, nova = self.world.state(), self.nova_alone(case)
        case.complaints += [
            (uuid, "is not in its cell as nova left it")
            for uuid in same_cells(state, nova)
        ]
        if state.requests != nova.requests:
            case.complaints.append(("", "build requests differ"))
        case.complaints += self.verdict(End(case=case, state=state, nova=nova))

    def verdict(self, end: End) -> Complaints:  # noqa: ARG002
        """Yield the faults at the end that only this command can have: none."""
        yield from ()

    def changed(self, wanted: Rows, found: Rows) -> Complaints:
        """Yield each mapping that differs."""
        for uuid in wanted.keys() | found.keys():
            one, other = wanted.get(uuid), found.get(uuid)
            if one and other and uuid not in self.before.mappings:
                # The id of a new row depends on the order of nova's actions.
                one = {**one, "id": other["id"]}
            if one != other:
                yield uuid, f"its mapping is {other}, not {one}"


def touched(case: Case) -> set[str]:
    """Return the uuids of the instances to which something happened."""
    return {each.uuid for each in case.done}


class Repairing(Commanded):
    """Explore ``cellmap repair`` of an upgraded cell that has differences."""

    name = "repair"
    makes: type[World] = DamagedWorld

    def command(self) -> Finished:
        """Repair the cell."""
        return cellmap_inside(self.world.cloud, "repair", *CELL)

    def ended(self, codes: Sequence[int]) -> bool:
        """Return True after a repair of what came behind the last look of the first."""
        return len(codes) > 1 and super().ended(codes)

    def verdict(self, end: End) -> Complaints:
        """Yield the faults at the end."""
        judge, case = Judge(self.world, end.nova, repairs=True), end.case
        yield from judge.complaints(end.state, case.codes)
        yield from judge.unrepaired(end.state)
        assert case.met is not None
        if case.codes[0] == 0:
            left = [*judge.wrong(case.met), *judge.unrepaired(case.met)]
            for uuid, why in left:
                if uuid not in touched(case):
                    yield uuid, f"{why} after the first repair"
        checked = alembic_inside(self.world.cloud, "check", cell="cell1")
        if checked.code != 0:
            yield "", f"check ended with {checked.code}: {checked.err}"


class RepairingFresh(Repairing):
    """Explore ``cellmap repair`` of a cell that was never upgraded."""

    name = "repair-fresh"
    makes = World


class Downgrading(Commanded):
    """Explore ``downgrade base`` of an upgraded cell."""

    name = "downgrade"

    def command(self) -> Finished:
        """Downgrade the cell."""
        return downgrade(self.world.cloud)

    def verdict(self, end: End) -> Complaints:
        """Yield the faults at the end."""
        if end.state.versions:
            yield "", f"{end.state.versions} is recorded"
        kept = dict(end.nova.mappings)
        for uuid in self.ours(end.nova):
            changed = kept[uuid] != self.before.mappings[uuid]
            # nova changed it before it was removed, or meant to do so afterwards.
            if not (changed and uuid in end.state.mappings):
                del kept[uuid]
        yield from self.changed(kept, end.state.mappings)
        if end.case.undo:
            yield from self.upgraded(upgrade(self.world.cloud))

    def ours(self, nova: State) -> set[str]:
        """Return the mappings in *nova* that the upgrade has inserted."""
        assert isinstance(self.world, UpgradedWorld)
        before = self.before.mappings.keys() - self.world.fresh.mappings.keys()
        return before & nova.mappings.keys()

    def upgraded(self, ended: Finished) -> Complaints:
        """Yield what is wrong after an upgrade that *ended*."""
        state = self.world.state()
        if ended.code != 0:
            yield "", f"the next upgrade ended with {ended.code}: {ended.err}"
        for uuid, why in Judge(self.world, state).wrong(state):
            yield uuid, f"{why} after the next upgrade"


class Abandoning(Downgrading):
    """Explore a ``downgrade base`` after which the cell is upgraded again."""

    name = "abandoned-downgrade"

    def run(self, case: Case) -> int:
        """Downgrade in the first run, and upgrade in each later one."""
        if not case.codes:
            return super().run(case)
        ended = upgrade(self.world.cloud)
        case.errors += ended.err
        return ended.code

    def ended(self, codes: Sequence[int]) -> bool:
        """Return True after an upgrade."""
        return len(codes) > 1 and super().ended(codes)

    def verdict(self, end: End) -> Complaints:
        """Yield the faults at the end."""
        for uuid, why in Judge(self.world, end.state).wrong(end.state):
            yield uuid, f"{why} after the upgrade"
        theirs = end.nova.mappings.keys() - self.ours(end.nova)
        for uuid in theirs - end.state.mappings.keys():
            yield uuid, "nova's mapping is gone"
