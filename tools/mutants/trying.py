"""Try each change of the package in a process of its own."""

import ast
import json
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from tools.mutants.changes import Change
from tools.mutants.recording import FOLDER, Recorded

ROOT = FOLDER.parent
PACKAGE = ROOT / "cellmap_migrations"
RESULTS = FOLDER / "results"

# Seconds of CPU time for one test, or for one command, of a changed module.
CPU_SECONDS = 60

# Seconds without a new test, after which a change has no result.
PATIENCE = 1_800

NOTICED, SURVIVED, STUCK = "noticed", "survived", "stuck"


class Mutants:
    """Try changes in place of running the collected tests."""

    def __init__(
        self,
        chosen: list[Change],
        tests: Recorded,
        *,
        backends: Sequence[str],
        jobs: int,
        limit: float,
    ) -> None:
        self.chosen, self.tests, self.backends = chosen, tests, backends
        self.jobs, self.limit = jobs, limit
        self.failed = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember the first test that fails."""
        if report.failed and not self.failed:
            self.failed = report.nodeid

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Divide the changes between processes, which fork another for each change."""
        # Imports the package, which pytest must import first.
        from tools.mutants import forks, servers  # noqa: PLC0415

        forks.prepare()
        signal.signal(signal.SIGTERM, lambda *_: sys.exit("interrupted"))
        items = {item.nodeid: item for item in session.items}
        jobs = []
        with servers.shared(self.backends):
            try:
                for job in range(self.jobs):
                    jobs.append(os.fork())
                    if jobs[-1] == 0:
                        self.work(self.chosen[job :: self.jobs], items)
                for pid in jobs:
                    os.waitpid(pid, 0)
            finally:
                for pid in jobs:
                    kill_all(pid)
        return True

    def work(self, chosen: list[Change], items: dict[str, pytest.Item]) -> None:
        """Try changes, append the results to the file, and end this process."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for change in chosen:
            known = [test for test in self.tests.of(change) if test in items]
            some = list(self.tests.within(known, self.limit))
            end = self.attempt(change, [items[test] for test in some])
            if not end.startswith(NOTICED):
                end = f"{end} {len(some)} of {len(known)} tests"
            with RESULTS.open("a") as file:
                file.write(f"{json.dumps([change.name, end])}\n")
        os._exit(0)

    def attempt(self, change: Change, items: list[pytest.Item]) -> str:
        """Run tests with a change until one fails; return what came of it."""
        told, tell = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(told)
            self.run(change, items, tell)
        os.close(tell)
        test = ""
        while not test.startswith((NOTICED, SURVIVED, STUCK)):
            ready, _, _ = select.select([told], [], [], PATIENCE)
            text = os.read(told, 100_000).decode() if ready else STUCK
            test = text.splitlines()[-1] if text else f"{NOTICED} by a crash in {test}"
        kill_all(pid)
        os.waitpid(pid, 0)
        os.close(told)
        return test

    def run(self, change: Change, items: list[pytest.Item], tell: int) -> None:
        """Run the tests with a change, and tell how they ended."""
        from tools.mutants import forks, servers  # noqa: PLC0415 - as above

        null = os.open(os.devnull, os.O_RDWR)
        for file in (0, 1, 2):
            os.dup2(null, file)
        servers.count_from(os.getpid() * 1000)
        end = f"{NOTICED} by the import"
        try:
            limit_cpu()
            apply(change)
            # Now, so that it inherits no socket of a test.
            forks.server()
            end = SURVIVED
            for item, following in zip(items, [*items[1:], items[0]], strict=True):
                limit_cpu()
                os.write(tell, f"{item.nodeid}\n".encode())
                item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
                if self.failed:
                    end = f"{NOTICED} by {self.failed}"
                    break
        finally:
            os.write(tell, f"{end}\n".encode())
            # The caller kills this process together with all that it has started.
            signal.pause()


def limit_cpu() -> None:
    """End this process, and each that it forks, after some more CPU time.

    A limit of time would end tests on a busy machine too.
    """
    used = int(time.process_time())
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (used + CPU_SECONDS, hard))


def apply(change: Change) -> None:
    """Change the module in this process."""
    from tools.mutants import swap  # noqa: PLC0415 - as above

    change.make()
    name = change.path.relative_to(ROOT).with_suffix("").as_posix()
    module = sys.modules[name.replace("/", ".")]
    new = {**vars(module)}
    tree = ast.fix_missing_locations(change.tree)
    exec(compile(tree, str(change.path), "exec"), new)
    swap.adopt(module, new)


def kill_all(pid: int) -> None:
    """Kill a process and all that it has started, if it runs."""
    family = [pid]
    for member in family:
        for children in Path(f"/proc/{member}/task").glob("*/children"):
            family += map(int, children.read_text().split())
    for member in family:
        with suppress(ProcessLookupError):
            os.kill(member, signal.SIGKILL)
