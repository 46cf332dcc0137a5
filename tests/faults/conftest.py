"""Faults, a few of each in every run of the tests, and all of them if asked."""

import os
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.faults import tally
from tests.faults.tally import Tally


@pytest.fixture
def thorough(request: pytest.FixtureRequest) -> bool:
    """Say whether to be as thorough as docs/reliability.rst is."""
    return bool(request.config.getoption("--thorough"))


@pytest.fixture
def tallied(request: pytest.FixtureRequest) -> Iterator[Tally]:
    """Count what the test causes under the name that its marker gives to it."""
    caused = tally.cause(request.node)
    assert caused, "it has no marker"
    fault, where = caused
    counted = Tally(fault)
    yield counted
    told = [where, fault, counted.times, dict(counted.ends), sorted(counted.rows)]
    request.node.user_properties.append((tally.KEY, told))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write the page's table after a run of all faults without a failure."""
    # Fixtures tell what they counted when they end; those reports have no category.
    told = [
        value
        for report in terminalreporter.getreports("")
        for name, value in report.user_properties
        if report.when == "teardown" and name == tally.KEY
    ]
    tallies: dict[tuple[str, str], Tally] = {}
    for where, fault, times, ends, rows in told:
        one, key = Tally(fault, times, Counter(ends), set(rows)), (fault, where)
        tallies[key] = tallies[key].plus(one) if key in tallies else one
    failed = [*map(terminalreporter.getreports, ("failed", "error"))]
    if "WRITE_TABLES" in os.environ and not any(failed):
        tally.show(tallies)
