"""Make a world for each database, and record the coverage of each test."""

import os
from collections.abc import Callable, Iterator
from functools import cache

import pytest

from cellmap_migrations.testing.servers import Server
from tests.conftest import COVERAGE
from tests.harness.newer import kind_named
from tests.interleavings import page
from tests.interleavings.grid import Explorer
from tests.interleavings.world import World


@pytest.fixture(scope="module")
def explorers(
    tmp_path_factory: pytest.TempPathFactory,
    cellmap_server: Callable[[str], Server],
) -> Iterator[Callable[[str], Explorer]]:
    """Yield a function that returns the explorer of a backend, made at the first call.

    The first run of an explorer takes as long as two cases.
    """
    worlds: list[World] = []

    @cache
    def explorer(backend: str) -> Explorer:
        worlds.append(World(tmp_path_factory.mktemp(backend), cellmap_server, backend))
        return Explorer(worlds[-1])

    yield explorer
    for world in worlds:
        world.close()


@pytest.fixture
def explorer(
    explorers: Callable[[str], Explorer],
    backend: str,
    record_property: Callable[[str, object], None],
    *,
    thorough: bool,
) -> Iterator[Explorer]:
    """Yield the explorer of a world; record the coverage of the test in the end."""
    explored = explorers(backend)
    explored.cover()
    yield explored
    record_property(COVERAGE, str(explored.coverage))
    if thorough and explored.coverage.cases:
        version = kind_named(explored.coverage.backend).version()
        record_property(page.TABLE, [*page.walked(explored.coverage, version)])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write the page's table after walks without a failure."""
    told = [
        value
        for report in terminalreporter.getreports("")
        for name, value in report.user_properties
        if report.when == "teardown" and name == page.TABLE
    ]
    failed = [*map(terminalreporter.getreports, ("failed", "error"))]
    if told and "WRITE_TABLES" in os.environ and not any(failed):
        page.show(told)
