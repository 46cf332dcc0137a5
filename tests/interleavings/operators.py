"""Run a command of an operator at one statement of an upgrade."""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from cellmap_migrations.testing.process import Finished
from tests.harness.cloud import Cloud
from tests.harness.inside import cellmap_inside, downgrade, upgrade
from tests.interleavings.crashes import forked
from tests.interleavings.grid import Case, Explorer
from tests.interleavings.points import Point
from tests.interleavings.prepared import SilentWorld
from tests.interleavings.walks import disturb_at
from tests.interleavings.world import World

CELL = "cell1"


def repair(cloud: Cloud) -> Finished:
    return cellmap_inside(cloud, "repair", "--cell", CELL)


def reset(cloud: Cloud) -> Finished:
    return cellmap_inside(cloud, "reset", "--cell", CELL)


def merge(cloud: Cloud) -> Finished:
    """Merge a cell that does not answer into the cell."""
    pair = ("--cell", CELL, "--from", "down", "--database-is-gone")
    return cellmap_inside(cloud, "merge", *pair)


class MergedMeanwhile(Explorer):
    """Explore the statements of an upgrade during which a silent cell is merged."""

    name = "merged"
    makes: type[World] = SilentWorld

    def finish(self, case: Case) -> None:
        """Do the rest of each action; without a merge, some rows stay unresolved."""
        super().finish(case)
        ended = merge(self.world.cloud)
        if ended.code != 0:
            case.complaints.append(("", f"merge ended with {ended.code}: {ended.err}"))


# The explorers of upgrades that meet something else than the usual world.
EXPLORERS: Mapping[str, type[Explorer]] = MappingProxyType({"merge": MergedMeanwhile})


COMMANDS: Mapping[str, Callable[[Cloud], Finished]] = MappingProxyType(
    {
        "second-run": upgrade,
        "repair": repair,
        "reset": reset,
        "downgrade": downgrade,
        "merge": merge,
    }
)


def interfere(explorer: Explorer, name: str, number: int) -> Case:
    """Run a command in its own process before statement *number*; judge the end."""
    case = Case(number=number, prefixes=(), kind=name)
    command = partial(COMMANDS[name], explorer.world.cloud)

    def act(_: Any) -> None:
        code = forked(lambda: command().code)
        if code not in {0, 65, 75}:
            case.complaints.append(("", f"{name} ended with {code}"))

    return explorer.disturb(case, act)


def interfere_at(points: Collection[Point], explorer: Explorer, name: str) -> None:
    """Run a command before each of *points*; record the failures."""
    explorer.cover(f"an operator runs {name}", 1)
    disturb_at(points, explorer, name, interfere)
