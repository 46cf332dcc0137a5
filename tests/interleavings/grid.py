"""Do an action before one statement of a command, and judge the end."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import sqlalchemy as sa

from cellmap_migrations.testing.process import Finished
from tests.harness.inside import alembic_inside, cellmap_inside, downgrade, upgrade
from tests.harness.newer import name_of
from tests.interleavings.actions import PREFIXES, Prefix
from tests.interleavings.judge import Judge, undone
from tests.interleavings.points import Act, Point, Sent, Watch
from tests.interleavings.schedule import in_one_thread
from tests.interleavings.world import State, World, locked

# Runs until the last one ends as the one before it.
MOST_RUNS = 5

NOT_FOUND = "nova answers 404"
LOCKED = "nova waits for a lock of the run"
THERE_ALREADY = "nova finds a mapping"

# Milliseconds that the rest of an action waits for a lock: the run has ended.
PATIENCE = 10_000


def call(work: Callable[[], int]) -> int:
    """Do *work* in this process."""
    return work()


def done() -> None:
    """Do nothing between the first run and the second one."""


@dataclass(kw_only=True)
class Case:
    """Hold the prefixes that happen before statement *number*, and the results."""

    number: int
    prefixes: Sequence[Prefix]
    # The crash that happens there too.
    kind: str = ""
    # How many steps of each prefix were done at that point.
    done: dict[Prefix, int] = field(default_factory=dict)
    impossible: dict[Prefix, str] = field(default_factory=dict)
    codes: list[int] = field(default_factory=list)
    complaints: list[tuple[str, str]] = field(default_factory=list)
    stamped: list[tuple[int, str, str]] = field(default_factory=list)
    # Whether the cell is downgraded in the end.
    undo: bool = True
    points: list[Point] = field(default_factory=list)
    # The rows after the first run, before the rest of each action.
    met: State | None = None
    outputs: list[str] = field(default_factory=list)
    errors: str = ""
    # Why the crash, command or edit cannot happen at that statement.
    why: str = ""
    # The statements of the transaction up to this one.
    sent: Sequence[Sent] = ()


@dataclass(kw_only=True)
class Coverage:
    """Count the cases that were tried."""

    name: str
    backend: str
    points: int
    what: str
    # How many things happen at each point.
    width: int
    pairs: int = 0
    cases: int = 0
    same: int = 0
    impossible: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    @property
    def walked(self) -> int:
        """Return the number of pairs that are settled."""
        return self.pairs + self.same

    def __str__(self) -> str:
        seconds = time.monotonic() - self.began
        lines = [
            f"{self.name} on {self.backend}: {self.points} statements and COMMITs",
            f"  {self.walked:,} of {self.points * self.width:,} pairs: {self.what}",
            f"  {self.same:,} are the same as the pair with the next statement",
            f"  {sum(self.impossible.values()):,} cannot happen:",
            *(f"    {n:5} {why}" for why, n in sorted(self.impossible.items())),
            f"  {self.cases:,} runs in {seconds:.0f} s, {len(self.failures)} failures",
            *self.failures,
        ]
        return "\n".join(lines)


class Explorer:
    """Explore the statements of ``upgrade head`` in one world."""

    name = "upgrade"
    makes: type[World] = World

    def __init__(self, world: World) -> None:
        self.world = world
        self.prefixes = list(PREFIXES.values())
        self.after = self.all_done()
        world.restore()
        self.before = world.state()
        self.points: list[Point] = []
        self.coverages: list[Coverage] = []
        first = self.explore(0, ())
        assert not first.complaints, (first.complaints, first.errors)
        self.cover()

    @property
    def coverage(self) -> Coverage:
        """Return the coverage of the walk that goes on."""
        return self.coverages[-1]

    @property
    def failures(self) -> list[str]:
        """Return the failures of all walks."""
        return [failure for each in self.coverages for failure in each.failures]

    def cover(self, what: str = "nova acts", width: int | None = None) -> None:
        """Begin to count the pairs of *what*, of which each point has *width*."""
        self.coverages.append(
            Coverage(
                name=self.name,
                backend=name_of(self.world.server, self.world.backend),
                points=len(self.points),
                what=what,
                width=len(self.prefixes) if width is None else width,
            )
        )

    def explore(
        self, number: int, prefixes: Sequence[Prefix], *, undo: bool = True
    ) -> Case:
        """Run one case: do *prefixes* before the statement *number*, none at 0.

        *undo*: downgrade in the end.
        """
        case = Case(number=number, prefixes=prefixes)
        return self.disturb(case, lambda _: self.act(case), undo=undo)

    def disturb(
        self,
        case: Case,
        act: Act,
        *,
        run: Callable[[Callable[[], int]], int] = call,
        then: Callable[[], None] = done,
        after: bool = False,
        undo: bool = True,
    ) -> Case:
        """Do *act* before or *after* a statement; run again until nothing is left.

        *run* calls the first run, or lets a process do so, and returns its exit code.
        *then* is called before the second one.
        """

        def at_the_point(driver: Any) -> None:
            found, foreseen = watch.points[-1], self.points[case.number - 1]
            assert found == foreseen, f"{found} is not repeated: {foreseen}"
            case.sent = watch.sent.get(driver, ())
            act(driver)

        self.world.restore()
        watch = Watch(
            backend=self.world.backend,
            places=self.world.places,
            at=case.number,
            after=after,
            act=at_the_point,
            stamping=lambda _: self.look_at_stamp(case, watch),
        )
        with watch.watching(), in_one_thread():
            case.codes.append(run(partial(self.run, case)))
        then()
        if not self.points:
            self.points = watch.points
        case.met = met = self.world.state()
        case.complaints += Judge(self.world, met).meddled(met)
        if not met.versions:
            # The run has seen by itself that its record was wrong.
            case.stamped.clear()
        self.finish(case)
        while len(case.codes) < MOST_RUNS and not self.ended(case.codes):
            with in_one_thread():
                case.codes.append(self.run(case))
        case.points, case.undo = watch.points, undo
        self.judge(case)
        return case

    def run(self, case: Case) -> int:
        """Do the command once; return its exit code."""
        ended = self.command()
        case.outputs.append(ended.out)
        case.errors += ended.err
        return ended.code

    def command(self) -> Finished:
        """Upgrade the cell."""
        return upgrade(self.world.cloud)

    def ended(self, codes: Sequence[int]) -> bool:
        """Return True if a further run would not change anything."""
        return codes[-1] == 0 or [*codes[-2:]] == [65, 65]

    def act(self, case: Case) -> None:
        """Do the first steps of each prefix, as far as nova could."""
        for prefix in case.prefixes:
            if prefix.action.asks and not self.world.finds(prefix):
                case.impossible[prefix] = NOT_FOUND
                continue
            for number in range(prefix.length):
                if why := self.refused(prefix, number):
                    case.impossible[prefix] = why
                    break
                case.done[prefix] = number + 1

    def refused(self, prefix: Prefix, number: int) -> str:
        """Do one step; return why it cannot be done now, or an empty text."""
        try:
            self.world.do(prefix, prefix.action.steps[number])
        except sa.exc.IntegrityError:
            if not self.world.finds(prefix):
                raise
            return THERE_ALREADY
        except sa.exc.OperationalError as error:
            if not locked(error):
                raise
            return LOCKED
        return ""

    def finish(self, case: Case) -> None:
        """Do the rest of each action that has begun."""
        for prefix, done in case.done.items():
            for step in prefix.action.steps[done:]:
                self.world.do(prefix, step, patience=PATIENCE)

    def all_done(self) -> State:
        """Return the rows that nova leaves if it does everything, without a run."""
        self.world.restore()
        for prefix in PREFIXES.values():
            for step in prefix.action.steps:
                self.world.do(prefix, step)
        return self.world.state()

    def nova_alone(self, case: Case) -> State:
        """Return the rows that nova leaves without a run: no action meets another."""
        mine = {prefix.uuid for prefix in case.done}
        chosen: dict[str, Any] = {
            name: {
                uuid: row
                for state in (self.before, self.after)
                for uuid, row in getattr(state, name).items()
                if (uuid in mine) is (state is self.after)
            }
            for name in ("mappings", "requests", "here", "there", "shadow")
        }
        return replace(self.before, **chosen)

    def look_at_stamp(self, case: Case, watch: Watch) -> None:
        """Keep what contradicts the revision that the run has just recorded."""
        judge = Judge(self.world, self.world.state())
        for uuid, why in judge.unproven(judge.nova):
            case.stamped.append((len(watch.points), uuid, why))

    def judge(self, case: Case) -> None:
        """Fill in the complaints."""
        cloud = self.world.cloud
        state = self.world.state()
        checked = [alembic_inside(cloud, "check", cell="cell1").code]
        if checked == [3]:
            # What came after the last look of the run.
            case.codes.append(cellmap_inside(cloud, "repair", "--cell", "cell1").code)
            checked.append(alembic_inside(cloud, "check", cell="cell1").code)
        repaired = self.world.state()
        judge = Judge(self.world, self.nova_alone(case))
        expected = [3, 0] if judge.wrong(state) else [0]
        found = [*judge.complaints(repaired, case.codes)]
        if checked != expected:
            found.append(("", f"check ended with {checked}, not {expected}"))
        if case.undo:
            down = downgrade(cloud)
            found += undone(judge, repaired, self.world.state())
            if down.code != 0:
                found.append(("", f"downgrade ended with {down.code}: {down.err}"))
        case.complaints += [*found, *self.rash(case)]

    def rash(self, case: Case) -> Iterator[tuple[str, str]]:
        """Yield what a run recorded although it could have seen the contradiction."""
        mine = {each.uuid for each in case.done}
        for number, uuid, why in case.stamped:
            # The action came before the statement of this number.
            since = case.points[case.number - 1 : number]
            if uuid not in mine or any(each.compares for each in since):
                yield uuid, f"a revision was recorded while it {why}"
