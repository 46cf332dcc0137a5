"""Do several things at the same time, without being held up by any of them."""

from __future__ import annotations

import time
from concurrent.futures import Future, wait
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable


T = TypeVar("T")

# Seconds of a wait: the kernel may hand a signal to one of the threads, and that wakes
# nobody.
TICK = 0.1


def at_once(
    *works: Callable[[], T], meanwhile: Callable[[], object] = lambda: None
) -> list[T]:
    """Return the results of *works*, each done in a thread; raise what one raised.

    *meanwhile* is called here again and again until they are there.
    """
    futures = [start(work) for work in works]
    return [result(future, meanwhile) for future in futures]


def result(future: Future[T], meanwhile: Callable[[], object] = lambda: None) -> T:
    """Return the result of *future* when it is there, or raise its error."""
    while wait([future], timeout=TICK).not_done:
        meanwhile()
    return future.result()


def soon(work: Callable[[], T], seconds: float) -> T:
    """Return the result of *work*; raise TimeoutError if it takes longer than that."""
    future, deadline = start(work), time.monotonic() + seconds
    while wait([future], timeout=TICK).not_done:
        if time.monotonic() > deadline:
            raise TimeoutError
    return future.result()


def start(work: Callable[[], T]) -> Future[T]:
    """Do *work* in a thread, and return what becomes of it.

    An executor's threads are waited for at the end of the process, even if they wait
    for a server that does not answer.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        # It is raised where the result is asked for.
        except BaseException as error:  # noqa: BLE001
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    return future
