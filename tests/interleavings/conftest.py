"""Make a world for each test, and record the coverage of the test."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias

import pytest

from cellmap_migrations.testing.servers import Server
from tests.conftest import COVERAGE
from tests.interleavings.grid import Explorer

Explore: TypeAlias = Callable[[type[Explorer]], Explorer]


@pytest.fixture
def explore(
    tmp_path: Path,
    server: Callable[[str], Server],
    backend: str,
    record_property: Callable[[str, object], None],
) -> Iterator[Explore]:
    """Make the explorer of a new world; record its coverage in the end."""
    with ExitStack() as stack:

        def make(kind: type[Explorer]) -> Explorer:
            world = kind.makes(tmp_path, server, backend)
            stack.callback(world.close)
            explorer = kind(world)
            stack.callback(lambda: record_property(COVERAGE, str(explorer.coverage)))
            return explorer

        yield make


@pytest.fixture
def explorer(explore: Explore) -> Explorer:
    """Return the explorer of an upgrade in a new world."""
    return explore(Explorer)
