"""Cause a few faults of each kind in every run, and all with --thorough."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.faults import tally
from tests.faults.copying import Copy, spread
from tests.faults.tally import Tally
from tests.harness.clusters import Cluster
from tests.harness.recorded import recorded, writes_tables
from tests.harness.replicas import folders_for


@pytest.fixture
def tallied(request: pytest.FixtureRequest) -> Iterator[Tally]:
    """Count the faults of the test under the name in its marker."""
    caused = tally.cause(request.node)
    assert caused, "it has no marker"
    fault, where = caused
    counted = Tally(fault)
    yield counted
    told = [where, fault, counted.times, dict(counted.ends), sorted(counted.rows)]
    request.node.user_properties.append((tally.KEY, told))


@pytest.fixture(scope="class")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster[Any]]:
    """Start the cluster of the test class, whose kind is in its attribute *kind*."""
    with folders_for(4) as folders, closing(request.cls.kind(folders)) as made:
        made.start()
        yield made


@pytest.fixture(scope="class")
def large(
    tmp_path_factory: pytest.TempPathFactory,
    cluster: Cluster[Any],
    *,
    thorough: bool,
) -> Iterator[Copy]:
    """Make the cell that faults are caused in."""
    rows = 200_000 if thorough else 2_000
    with spread(tmp_path_factory.mktemp("large"), cluster, rows) as made:
        yield made


@pytest.fixture
def copy(large: Copy, seed: int, *, thorough: bool) -> Iterator[Copy]:
    """Return the large cell without any mapping."""
    yield replace(large, seed=seed, times=2 if thorough else 1)
    for command in large.cloud.commands:
        command.close()


@pytest.fixture
def small(tmp_path: Path, cluster: Cluster[Any]) -> Iterator[Copy]:
    """Make a cell of 100 instances."""
    with spread(tmp_path, cluster, 100) as made:
        yield made


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write the page's table after a run of all faults without a failure."""
    tallies: dict[tuple[str, str], Tally] = {}
    for _, (where, fault, times, ends, rows) in recorded(terminalreporter, tally.KEY):
        one, key = Tally(fault, times, Counter(ends), set(rows)), (fault, where)
        tallies[key] = tallies[key].plus(one) if key in tallies else one
    if writes_tables(terminalreporter):
        tally.show(tallies)
