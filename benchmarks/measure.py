"""Time a command, and see how much memory it took at most."""

import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from tests.nova.cloud import Cloud
from tests.nova.process import Finished

# Runs a program as `python -m` does, and prints its peak memory afterwards.
WRAPPER = """
import resource, runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
finally:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"peak {peak} KiB", file=sys.stderr)
"""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """How long something took, in seconds, and its peak memory in MiB."""

    seconds: float
    peak: float
    finished: Finished


def alembic(cloud: Cloud, *arguments: str, cell: str) -> Measured:
    """Run alembic on a cell, to its end."""
    x = ["-x", f"config_file={cloud.config_file}", "-x", f"cell={cell}"]
    return module(cloud, ["alembic", "-c", "alembic.ini", *x, *arguments])


def module(cloud: Cloud, command: Sequence[str]) -> Measured:
    """Run a Python module in a process of its own, to its end."""
    started = time.monotonic()
    finished = cloud.run("-c", WRAPPER, *command).wait(timeout=3600)
    seconds = time.monotonic() - started
    peak = re.search(r"peak (\d+) KiB", finished.err)
    assert peak, finished.err
    return Measured(seconds=seconds, peak=int(peak[1]) / 1024, finished=finished)


def statement(engine: sa.Engine, sql: str) -> float:
    """Run one statement in the server, commit it, and return its seconds."""
    started = time.monotonic()
    with engine.begin() as connection:
        connection.execute(sa.text(sql))
    return time.monotonic() - started


def say(line: str) -> None:
    """Print a result."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
