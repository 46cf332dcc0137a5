"""Wait for a condition, and not for a time."""

import time
from collections.abc import Callable

SECONDS = 30.0
PAUSE = 0.005


def wait_for(
    condition: Callable[[], bool], what: str, *, seconds: float = SECONDS
) -> None:
    """Return as soon as *condition* holds; fail the test if it never does."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            message = f"not within {seconds:g} s: {what}"
            raise AssertionError(message)
        time.sleep(PAUSE)
