"""Run functions in daemon threads, which never delay the end of the process."""

from __future__ import annotations

import time
from concurrent.futures import Future, wait
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable


T = TypeVar("T")

# Seconds of one wait. The kernel may deliver a signal to another thread. Python then
# runs the handler only when the wait of the main thread ends.
TICK = 0.1


def run_in_threads(
    *works: Callable[[], T], meanwhile: Callable[[], object] = lambda: None
) -> list[T]:
    """Run each of *works* in a thread; return their results, or raise the first error.

    Calls *meanwhile* in this thread every TICK seconds until all have ended.
    """
    futures = [start(work) for work in works]
    return [wait_for(future, meanwhile) for future in futures]


def wait_for(future: Future[T], meanwhile: Callable[[], object] = lambda: None) -> T:
    """Wait for *future*; return its result, or raise its error."""
    while wait([future], timeout=TICK).not_done:
        meanwhile()
    return future.result()


def result_within(work: Callable[[], T], seconds: float) -> T:
    """Return the result of *work*; raise TimeoutError after *seconds*."""
    future, deadline = start(work), time.monotonic() + seconds
    while wait([future], timeout=TICK).not_done:
        if time.monotonic() > deadline:
            raise TimeoutError
    return future.result()


def start(work: Callable[[], T]) -> Future[T]:
    """Start *work* in a daemon thread, and return the future of its result.

    Not an executor: at its end, the process would wait for the executor's threads, even
    for a thread that waits for a server that does not answer.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        # wait_for() and result_within() raise it.
        except BaseException as error:  # noqa: BLE001
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    return future
