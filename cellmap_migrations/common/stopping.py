"""End a run between two batches, after a signal or at the time limit."""

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

# Seconds from a signal to Interrupted. su and runuser kill their child 2 s after they
# passed on a SIGTERM, so the current batch gets less than that to commit.
PATIENCE = 0.8

# Seconds between two alarms after that. Closing a connection may block too, on the same
# server that does not answer. psycopg checks for signals every 0.1 s.
ALARM_SECONDS = 0.25


class Interrupted(BaseException):
    """Unwind a blocking call PATIENCE seconds after a signal.

    It does not derive from Exception. oslo.db, SQLAlchemy and the drivers would wrap an
    Exception as a database error, and use the connection again in the middle of an
    answer.
    """


@contextmanager
def held_back() -> Iterator[None]:
    """Block SIGNALS while the block runs, and in the processes that it starts."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Stopping:
    """Record why the run should end, and wait without missing a signal."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.deadline: float | None = None
        self.signal: str | None = None
        self.signalled = threading.Event()

    def limit(self, seconds: float) -> None:
        """Set the time limit: ``check_limits`` raises after *seconds*."""
        self.deadline = self.clock() + seconds

    def check(self) -> None:
        """Raise Stopped if a signal arrived."""
        if self.signal:
            raise self.stopped()

    def stopped(self) -> Stopped:
        """Return the error that names the signal."""
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
        """Wait *seconds*; raise Stopped after a signal, or at the time limit."""
        if self.deadline is not None:
            seconds = min(seconds, max(self.deadline - self.clock(), 0.0))
        self.wait(seconds)
        self.check_limits()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Make ``check`` raise Stopped after a SIGTERM, SIGINT or SIGHUP in the block.

        Raises Interrupted if the block does not end within PATIENCE seconds after the
        signal. The process then ignores all further signals, so that it can still print
        its last line and return its exit code. Does nothing in any thread but the main
        thread, because only the main thread can set a signal handler.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.on_signal) for number in SIGNALS}
        alarm = signal.signal(signal.SIGALRM, self.on_alarm)
        # A parent may have started this process inside held_back().
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, alarm)
            for number, handler in before.items():
                signal.signal(number, signal.SIG_IGN if self.signal else handler)

    def on_signal(self, number: int, _: Any) -> None:
        """Record the signal, and raise Interrupted after PATIENCE seconds."""
        if not self.signal:
            self.stop(signal.Signals(number).name)
            signal.setitimer(signal.ITIMER_REAL, PATIENCE, ALARM_SECONDS)

    def stop(self, name: str) -> None:
        """End the run after the current batch, as the signal *name* would."""
        self.signal = name
        self.signalled.set()

    def left(self) -> float | None:
        """Return the seconds until the time limit, or None without a limit."""
        if self.deadline is None:
            return None
        return max(self.deadline - self.clock(), 0.0)

    def take_time(self) -> None:
        """Cancel the alarm: the caller waits for other processes, with a bound."""
        signal.setitimer(signal.ITIMER_REAL, 0)

    def on_alarm(self, _: int, __: Any) -> None:
        """Raise Interrupted. The server rolls back the open transaction."""
        raise Interrupted
