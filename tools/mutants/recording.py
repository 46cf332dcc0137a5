"""Record which statements each test runs, and how long it takes."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tools.mutants import coverage
from tools.mutants.changes import Change

FOLDER = Path(__file__).parents[2] / ".mutants"

LINES, TESTS = FOLDER / "lines", FOLDER / "tests"

ROOMS = ("copying", "comparing", "bookkeeping", "databases")


class Statements:
    """Record what the tests of a run do in some rooms."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_load_initial_conftests(self) -> None:
        """Load the modules before pytest does, which would rewrite their asserts."""
        coverage.record([f"cellmap_migrations.{room}." for room in ROOMS], LINES)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self) -> None:
        """Replace the server of tests/harness/forked.py."""
        # Imports the package, which has to have its probes by then.
        from tools.mutants import forks  # noqa: PLC0415

        forks.prepare()


class Durations:
    """Record how long each test takes, without those that fail."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.failed: set[str] = set()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave out the tests that an earlier run has recorded."""
        known = Recorded().seconds if TESTS.exists() else {}
        items[:] = [item for item in items if item.nodeid not in known]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add up the phases of a test, and append it to the file after the last."""
        self.seconds[report.nodeid] += report.duration
        if report.failed:
            self.failed.add(report.nodeid)
        if report.when == "teardown" and report.nodeid not in self.failed:
            with TESTS.open("a") as file:
                found = [report.nodeid, round(self.seconds[report.nodeid], 3)]
                file.write(f"{json.dumps(found)}\n")


class Recorded:
    """Know which tests run a statement, and how long each test takes."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        for line in TESTS.read_text().splitlines():
            test, seconds = json.loads(line)
            self.seconds[test] = seconds
        self.by_line: dict[str, dict[int, set[str]]] = defaultdict(
            lambda: defaultdict(set)
        )
        for line in LINES.read_text().splitlines():
            test, path, number = line.split("\t")
            if test in self.seconds:
                self.by_line[path][int(number)].add(test)

    def of(self, change: Change) -> list[str]:
        """Return the tests that run the statement of a change, the best ones first."""
        lines = self.by_line[str(change.path)]
        found = lines.get(change.line, set())
        if not found:
            some = [tests for line, tests in lines.items() if line in change.definition]
            found = set().union(*some)
        ranks: dict[str, int] = defaultdict(int)
        turns = {}
        for test in sorted(found, key=self.seconds.__getitem__):
            module = test.partition("::")[0]
            ranks[module] += 1
            turns[test] = 0 if imports(module, change.path) else ranks[module]
        # Tests of one module are alike: after those that import the changed module, one
        # of each module, then a second one of each.
        return sorted(found, key=lambda test: (turns[test], self.seconds[test]))

    def within(self, tests: list[str], limit: float) -> Iterator[str]:
        """Yield *tests* up to a total of *limit* seconds."""
        for test in tests:
            limit -= self.seconds[test]
            yield test
            if limit < 0:
                break


@cache
def imports(test: str, path: Path) -> bool:
    """Return True if a module of tests imports the module at *path*."""
    name = rf"\.{path.parent.name}(\.| import .*\b){path.stem}\b"
    return re.search(name, (FOLDER.parent / test).read_text()) is not None
