"""Time a command, and see how much memory it took at most."""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cellmap_migrations.testing.process import Running
from tests.harness.cloud import Cloud

# Longer than anything that is measured here, in seconds.
TIMEOUT = 7200

# Runs a module as `python -m` does, and says what its memory was at most. Not
# getrusage(): the peak there is at first that of the process that started this one.
WRAPPER = """
import pathlib, runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
finally:
    print(pathlib.Path("/proc/self/status").read_text(), file=sys.stderr)
"""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Hold a duration in seconds, and the peak memory in MiB."""

    seconds: float
    peak: float


def alembic(cloud: Cloud, *arguments: str, code: int = 0) -> Measured:
    """Run alembic on the first cell, to the end that is its good one."""
    return module(cloud, ["alembic", *options(cloud), *arguments], code=code)


def options(cloud: Cloud) -> list[str]:
    """Return what names the cell to alembic."""
    x = ["-x", f"config_file={cloud.config_file}", "-x", f"cell={cloud.cells[0].uuid}"]
    return ["-c", "alembic.ini", *x]


def module(cloud: Cloud, arguments: Sequence[str], *, code: int = 0) -> Measured:
    """Run a Python module in a process of its own, to the end that is its good one."""
    started = time.monotonic()
    finished = cloud.run("-c", WRAPPER, *arguments).wait(timeout=TIMEOUT)
    seconds = time.monotonic() - started
    peak = re.search(r"VmHWM:\s+(\d+) kB", finished.err)
    if finished.code != code or not peak:
        raise RuntimeError(f"{arguments}: {finished}")
    return Measured(seconds=seconds, peak=int(peak[1]) / 1024)


def command(
    arguments: Sequence[str],
    *,
    code: int = 0,
    env: Mapping[str, str | None] | None = None,
) -> float:
    """Run a program to the end that is its good one; return its seconds."""
    started = time.monotonic()
    running = Running(arguments, env=env)
    try:
        finished = running.wait(timeout=TIMEOUT)
    finally:
        running.close()
    seconds = time.monotonic() - started
    if finished.code != code:
        raise RuntimeError(f"{arguments[0]}: {finished}")
    return seconds
