"""Whatever happens between two statements of an upgrade, its end is right."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cellmap_migrations.testing.servers import Server
from tests.conftest import COVERAGE
from tests.interleavings.actions import PREFIXES
from tests.interleavings.crashes import (
    KILL,
    LOSE,
    SILENCE,
    changes,
    commits,
    crash_everywhere,
)
from tests.interleavings.grid import Explorer, walk
from tests.interleavings.operators import COMMANDS, interfere_everywhere
from tests.interleavings.points import Point, of_first_revision, with_locks
from tests.interleavings.world import World

# A quick run takes every so many of the points.
LATER, LOCKED, LOST, OPERATED = 3, 4, 30, 24


@pytest.fixture
def thorough(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--thorough"))


@pytest.fixture
def explorer(
    tmp_path: Path,
    server: Callable[[str], Server],
    backend: str,
    record_property: Callable[[str, object], None],
) -> Iterator[Explorer]:
    """Explore a world that is gone after the test; say what was tried."""
    world = World(tmp_path, server, backend)
    explored = Explorer(world)
    yield explored
    world.close()
    record_property(COVERAGE, str(explored.coverage))


def some(points: list[Point], every: int, *, thorough: bool) -> list[Point]:
    return points if thorough else points[::every]


@pytest.mark.only_on("sqlite")
def test_nova_acts_before_a_statement_of_0001(explorer: Explorer) -> None:
    walk(explorer, PREFIXES.values(), of_first_revision(explorer.points), together=True)

    assert explorer.coverage.failures == []


@pytest.mark.only_on("sqlite")
def test_nova_acts_before_a_statement_of_a_later_revision(
    explorer: Explorer, *, thorough: bool
) -> None:
    later = explorer.points[len(of_first_revision(explorer.points)) :]

    walk(
        explorer,
        PREFIXES.values(),
        some(later, LATER, thorough=thorough),
        together=True,
    )

    assert explorer.coverage.failures == []


# On SQLite nobody else can commit then.
@pytest.mark.only_on("postgresql")
def test_nova_acts_while_the_run_holds_locks(
    explorer: Explorer, *, thorough: bool
) -> None:
    locked = with_locks(explorer.points)
    points = explorer.points if thorough else locked[::LOCKED]

    walk(explorer, PREFIXES.values(), points, together=True)

    assert explorer.coverage.failures == []


@pytest.mark.only_on("sqlite", "postgresql")
def test_run_is_killed(explorer: Explorer, backend: str, *, thorough: bool) -> None:
    every = 1 if backend == "sqlite" else 6

    crash_everywhere(explorer, KILL, some(changes(explorer), every, thorough=thorough))

    assert explorer.coverage.failures == []


@pytest.mark.only_on("postgresql")
def test_connection_is_lost(explorer: Explorer, *, thorough: bool) -> None:
    crash_everywhere(explorer, LOSE, some(explorer.points, LOST, thorough=thorough))

    assert explorer.coverage.failures == []


@pytest.mark.only_on("postgresql")
def test_answer_to_a_commit_is_lost(explorer: Explorer) -> None:
    crash_everywhere(explorer, SILENCE, [*filter(commits, explorer.points)])

    assert explorer.coverage.failures == []


@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize("name", COMMANDS)
def test_operator_does_something_else(
    explorer: Explorer, name: str, *, thorough: bool
) -> None:
    points = [point for point in explorer.points if point.tables]

    interfere_everywhere(explorer, name, some(points, OPERATED, thorough=thorough))

    assert explorer.coverage.failures == []
