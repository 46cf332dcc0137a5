"""Run a command of an operator at one statement of an upgrade."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from cellmap_migrations.testing.process import Finished
from tests.harness.cloud import Cloud
from tests.harness.inside import alembic_inside, cellmap_inside, upgrade
from tests.interleavings.crashes import forked
from tests.interleavings.grid import Case, Explorer

CELL = "cell1"


def downgrade(cloud: Cloud) -> Finished:
    x = {"remove_mappings": "yes"}
    return alembic_inside(cloud, "downgrade", "base", cell=CELL, x=x)


def repair(cloud: Cloud) -> Finished:
    return cellmap_inside(cloud, "repair", "--cell", CELL)


def reset(cloud: Cloud) -> Finished:
    return cellmap_inside(cloud, "reset", "--cell", CELL)


COMMANDS: Mapping[str, Callable[[Cloud], Finished]] = MappingProxyType(
    {
        "second-run": upgrade,
        "repair": repair,
        "reset": reset,
        "downgrade": downgrade,
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
