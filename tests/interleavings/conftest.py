"""Make a world for each database, and record the coverage of each test."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TypeAlias

import pytest

from cellmap_migrations.testing.servers import Server
from tests.conftest import COVERAGE
from tests.harness.newer import kind_named
from tests.harness.recorded import recorded, writes_tables
from tests.interleavings import page
from tests.interleavings.grid import Explorer

MakeExplorer: TypeAlias = Callable[[type[Explorer]], Explorer]


@pytest.fixture(scope="module")
def explorers(
    tmp_path_factory: pytest.TempPathFactory,
    cellmap_server: Callable[[str], Server],
) -> Iterator[Callable[[type[Explorer], str], Explorer]]:
    """Yield a function that returns the explorer of a kind, made at the first call.

    The first run of an explorer takes as long as two cases.
    """
    made: dict[tuple[str, str], Explorer] = {}
    with ExitStack() as stack:

        def explorer(kind: type[Explorer], backend: str) -> Explorer:
            if (kind.name, backend) not in made:
                folder = tmp_path_factory.mktemp(backend)
                world = kind.makes(folder, cellmap_server, backend)
                stack.callback(world.close)
                made[kind.name, backend] = kind(world)
            return made[kind.name, backend]

        yield explorer


@pytest.fixture
def explore(
    explorers: Callable[[type[Explorer], str], Explorer],
    backend: str,
    record_property: Callable[[str, object], None],
    *,
    thorough: bool,
) -> Iterator[MakeExplorer]:
    """Yield a function that returns the explorer of a kind.

    The coverage of the test is recorded in the end.
    """
    explored: list[Explorer] = []

    def explore(kind: type[Explorer]) -> Explorer:
        explored.append(explorers(kind, backend))
        # Of another test.
        explored[-1].coverages.clear()
        explored[-1].cover()
        return explored[-1]

    yield explore
    for coverage in (one for each in explored for one in each.coverages):
        if not coverage.cases:
            continue
        record_property(COVERAGE, str(coverage))
        if thorough:
            version = kind_named(coverage.backend).version()
            record_property(page.TABLE, [*page.walked(coverage, version)])


@pytest.fixture
def explorer(explore: MakeExplorer) -> Explorer:
    """Return the explorer of an upgrade."""
    return explore(Explorer)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write the page's table after walks without a failure."""
    walked = [value for _, value in recorded(terminalreporter, page.TABLE)]
    if walked and writes_tables(terminalreporter):
        page.show(walked)
