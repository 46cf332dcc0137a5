"""Make a world for each test, and record the coverage of the test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cellmap_migrations.testing.servers import Server
from tests.conftest import COVERAGE
from tests.interleavings.grid import Explorer
from tests.interleavings.world import World


@pytest.fixture
def explorer(
    tmp_path: Path,
    server: Callable[[str], Server],
    backend: str,
    record_property: Callable[[str, object], None],
) -> Iterator[Explorer]:
    """Yield the explorer of a new world; record its coverage in the end."""
    world = World(tmp_path, server, backend)
    explored = Explorer(world)
    yield explored
    world.close()
    record_property(COVERAGE, str(explored.coverage))
