"""Do several things at the same time, without being held up by any of them."""

from __future__ import annotations

from concurrent.futures import Future, wait
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def at_once(*works: Callable[[], T]) -> list[T]:
    """Return the results of *works*, each done in a thread; raise what one raised."""
    futures = [start(work) for work in works]
    # The kernel may hand a signal to one of the threads, and that wakes nobody.
    while wait(futures, timeout=0.1).not_done:
        pass
    return [future.result() for future in futures]


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
