"""Try many cases, one after the other, and record those that fail."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TypeAlias

from tests.interleavings.actions import Prefix
from tests.interleavings.grid import Case, Explorer
from tests.interleavings.points import Point, meeting

# Do what happens before a statement of this number, with prefixes; undo= as in grid.py.
Explore: TypeAlias = Callable[..., Case]

# Each case of several prefixes is undone whose number is a multiple of this one.
UNDONE = 4


def explain(case: Case) -> list[str]:
    """Return a line for each complaint."""
    names = {each.uuid: each.name for each in case.prefixes}
    return [f"  {names.get(uuid, uuid)}: {why}" for uuid, why in case.complaints]


def suspects(case: Case) -> list[Prefix]:
    """Return the prefixes that complaints name, or all if one names none."""
    uuids = {uuid for uuid, _ in case.complaints}
    return [each for each in case.prefixes if each.uuid in uuids] or [*case.prefixes]


def walk(
    explorer: Explorer,
    prefixes: Iterable[Prefix],
    points: Collection[Point] = (),
    *,
    together: bool,
) -> None:
    """Try each pair of a prefix and one of *points*, all by default; record failures.

    *together*: all prefixes that meet a statement happen in one run. Each has its own
    instance. Those that a failure names are tried again one by one.
    """
    points = points or explorer.points
    met: dict[int, list[Prefix]] = {}
    for prefix in prefixes:
        mine = [*meeting(points, prefix)]
        explorer.coverage.pairs += len(mine)
        explorer.coverage.same += len(points) - len(mine)
        for point in mine:
            met.setdefault(point.number, []).append(prefix)
    for number, group in sorted(met.items()):
        if together:
            walk_together(explorer, number, group)
            continue
        for prefix in group:
            try_case(explorer, number, [prefix])


def walk_together(
    explorer: Explorer,
    number: int,
    group: Sequence[Prefix],
    explore: Explore | None = None,
) -> None:
    """Try several prefixes before one statement; record which of them fail.

    *explore* is what happens there, by default only the prefixes.
    """
    case = tried(explorer, number, group, explore, undo=number % UNDONE == 0)
    if not case.complaints:
        return
    failed = [try_case(explorer, number, [each], explore) for each in suspects(case)]
    if not any(failed):
        fail(explorer, case)


def tried(
    explorer: Explorer,
    number: int,
    prefixes: Sequence[Prefix],
    explore: Explore | None = None,
    *,
    undo: bool = True,
) -> Case:
    case = (explore or explorer.explore)(number, prefixes, undo=undo)
    explorer.coverage.cases += 1
    for prefix, why in case.impossible.items():
        explorer.coverage.impossible[f"{prefix.action.name}: {why}"] += 1
    return case


def try_case(
    explorer: Explorer,
    number: int,
    prefixes: Sequence[Prefix],
    explore: Explore | None = None,
) -> bool:
    """Return True if a case fails."""
    case = tried(explorer, number, prefixes, explore)
    if case.complaints:
        fail(explorer, case)
    return bool(case.complaints)


def disturb_at(
    points: Iterable[Point],
    explorer: Explorer,
    name: str,
    disturb: Callable[[Explorer, str, int], Case],
) -> None:
    """Let *disturb* do what *name* says at each of *points*; record the failures."""
    for point in points:
        case = disturb(explorer, name, point.number)
        explorer.coverage.pairs += 1
        explorer.coverage.cases += 1
        if case.why:
            explorer.coverage.impossible[case.why] += 1
        if case.complaints:
            fail(explorer, case)


def fail(explorer: Explorer, case: Case) -> None:
    """Record a failure, with the line that repeats it."""
    prefixes = ",".join(prefix.name for prefix in case.prefixes)
    names = "+".join(filter(None, (case.kind, prefixes)))
    point = explorer.points[case.number - 1]
    pair = f"{explorer.name}:{explorer.coverage.backend}:{case.number}:{names}"
    explorer.coverage.failures += [
        f"python -m tests.interleavings {pair}",
        f"  before {point.place}: {point.text[:100]}",
        *explain(case)[:6],
    ]
