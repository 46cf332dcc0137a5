"""Wait for a condition, and not for a time."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

# Far more than the slowest machine needs.
SECONDS = 600.0

PAUSE = 0.005


def wait_for(
    condition: Callable[[], object], what: str, *, seconds: float = SECONDS
) -> None:
    """Return as soon as *condition* holds; fail the test if it never does."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            message = f"not within {seconds:g} s: {what}"
            raise AssertionError(message)
        time.sleep(PAUSE)


@contextmanager
def meanwhile(work: Callable[[], object], stop: Event) -> Iterator[None]:
    """Do *work* in a thread while the block runs, and then until it heeds *stop*."""
    thread = Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
