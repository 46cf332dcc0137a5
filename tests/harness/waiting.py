"""Wait for a condition, and not for a time."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from signal import SIGTERM, Signals
from threading import Event, Thread

from cellmap_migrations.testing.process import Finished, Running

# Far more than the slowest machine needs.
SECONDS = 600.0

# The first pause between two looks, and the longest one: a look may cost a query.
PAUSE, LONGEST_PAUSE = 0.005, 0.1


def wait_for(
    condition: Callable[[], object], what: str, *, seconds: float = SECONDS
) -> None:
    """Return as soon as *condition* holds; fail the test if it never does."""
    deadline, pause = time.monotonic() + seconds, PAUSE
    while not condition():
        if time.monotonic() > deadline:
            message = f"not within {seconds:g} s: {what}"
            raise AssertionError(message)
        time.sleep(pause)
        pause = min(1.2 * pause, LONGEST_PAUSE)


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


def stop(running: Running, number: Signals = SIGTERM) -> Finished:
    """Send the signal, and return when the run has ended."""
    running.signal(number)
    return running.wait()
