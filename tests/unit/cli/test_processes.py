"""The executor of processes: a call that ends badly is alone in that."""

import os
import signal
from concurrent.futures import BrokenExecutor

import pytest

from cellmap_migrations.cli.processes import Processes


def test_killed_process_costs_its_own_call_only() -> None:
    workers = Processes(2)
    go_on, hold = os.pipe()

    killed = workers.submit(lambda: os.kill(os.getpid(), signal.SIGKILL))
    other = workers.submit(os.read, go_on, 1)

    with pytest.raises(BrokenExecutor) as failure:
        killed.result(timeout=60)
    os.write(hold, b"x")
    assert failure.value.args == (-signal.SIGKILL,)
    assert other.result(timeout=60) == b"x"
    for file in (go_on, hold):
        os.close(file)


def test_error_of_a_call_is_that_of_its_future() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        Processes(1).submit(int, "one").result(timeout=60)


def test_process_that_does_not_end_by_itself_is_killed() -> None:
    workers = Processes(1)
    never, hold = os.pipe()

    frozen = workers.submit(os.read, never, 1)
    workers.kill_workers()

    with pytest.raises(BrokenExecutor):
        frozen.result(timeout=60)
    assert not workers.running
    for file in (never, hold):
        os.close(file)
