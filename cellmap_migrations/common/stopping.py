"""End a run early and cleanly: signals, the time limit, the row limit."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cellmap_migrations.common.errors import Stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

# su and runuser kill their child 2 s after they passed on a SIGTERM. The batch in
# hand is given most of that; then its transaction is dropped where it is.
PATIENCE = 0.8

# Cleaning up may block as well, on the same server that does not answer. psycopg looks
# for signals only when it was left in peace for 0.1 s.
AND_AGAIN = 0.25


class Interrupted(BaseException):
    """Unwinds whatever blocks when the patience with the batch in hand is over.

    Not an Exception: oslo.db, SQLAlchemy and the drivers would wrap one as an error of
    the database, and go on using a connection that is in the middle of an answer.
    """


@contextmanager
def held_back() -> Iterator[None]:
    """Keep signals waiting, also in a process that is started in the block."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Stopping:
    """Knows whether the run should end, and why; also how it waits."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.deadline: float | None = None
        self.signal: str | None = None
        self.signalled = threading.Event()

    def limit(self, seconds: float) -> None:
        """Let ``check_limits`` raise from *seconds* after now on."""
        self.deadline = self.clock() + seconds

    def check(self) -> None:
        """Raise Stopped if a signal arrived."""
        if self.signal:
            raise self.stopped()

    def stopped(self) -> Stopped:
        """Return the error for the signal that arrived."""
        return Stopped(f"{self.signal} received")

    def check_limits(self) -> None:
        """Raise Stopped if a signal arrived or the time limit has passed."""
        self.check()
        if self.deadline is not None and self.clock() >= self.deadline:
            raise Stopped("time limit reached")

    def wait(self, seconds: float) -> None:
        """Wait *seconds*; raise Stopped as soon as a signal arrives."""
        self.signalled.wait(seconds)
        self.check()

    def pause(self, seconds: float) -> None:
        """Wait *seconds*; raise Stopped at a signal, or when the time limit passes."""
        if self.deadline is not None:
            seconds = min(seconds, max(self.deadline - self.clock(), 0.0))
        self.wait(seconds)
        self.check_limits()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Turn SIGTERM, SIGINT and SIGHUP into Stopped while the block runs.

        Raises Interrupted when that takes too long. After one signal the others are
        ignored to the end of the process, which is near, so that its exit code and
        its last words arrive. Only the main thread can listen; elsewhere the signals
        stay as they are.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.note) for number in SIGNALS}
        alarm = signal.signal(signal.SIGALRM, self.give_up)
        # A parent holds them back until somebody listens.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, alarm)
            for number, handler in before.items():
                signal.signal(number, signal.SIG_IGN if self.signal else handler)

    def note(self, number: int, _: Any) -> None:
        """Remember the signal, and give the batch in hand PATIENCE seconds."""
        if not self.signal:
            self.stop(signal.Signals(number).name)
            signal.setitimer(signal.ITIMER_REAL, PATIENCE, AND_AGAIN)

    def stop(self, name: str) -> None:
        """End the run after the batch in hand, as after the signal *name*."""
        self.signal = name
        self.signalled.set()

    def left(self) -> float | None:
        """Return the seconds that are left of the time limit; None without one."""
        if self.deadline is None:
            return None
        return max(self.deadline - self.clock(), 0.0)

    def take_time(self) -> None:
        """Do not interrupt: the caller waits for others, and never for long."""
        signal.setitimer(signal.ITIMER_REAL, 0)

    def give_up(self, _: int, __: Any) -> None:
        """Leave whatever blocks: the server rolls back what was not committed."""
        raise Interrupted
