"""Pause between two batches, while no transaction is open."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from cellmap_migrations.bookkeeping.journal import Pause
from cellmap_migrations.cell.signals import (
    GaleraNode,
    PauseFile,
    ReplicaLag,
    RunningThreads,
)
from cellmap_migrations.common.errors import BadOption
from cellmap_migrations.common.sentences import PausedTooLong, PrivilegeMissing
from cellmap_migrations.databases.status import RightMissing, Unmeasurable, Unmeasured

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cellmap_migrations.cell.signals import Signal
    from cellmap_migrations.config.settings import Settings
    from cellmap_migrations.databases.database import Database


def choose_signals(settings: Settings, api: Database) -> list[Signal]:
    """Return the signals that the settings, or the server, ask for."""
    chosen: list[Signal] = []
    if settings.pause_file:
        chosen.append(PauseFile(settings.pause_file))
    if settings.max_threads_running is not None:
        chosen.append(RunningThreads(api, settings.max_threads_running))
    if settings.max_lag is not None:
        # Each by itself: one that is behind must not hide another that is none.
        chosen.extend(ReplicaLag(settings, api, name) for name in settings.replicas)
    if GaleraNode.found(api):
        chosen.append(GaleraNode(api))
    return chosen


# Seconds between two looks: what is asked of a server must not be a load itself.
EVERY = 1.0


@dataclass(kw_only=True)
class Throttle:
    """Asks the signals that the settings name, and waits while one says so.

    *keep_alive* uses a connection that would be cut if it were idle for long, and
    *show* tells a person why nothing happens, or nothing when it goes on.
    """

    settings: Settings
    api: Database
    keep_alive: Callable[[], None]
    show: Callable[[str], None]
    owed: Pause = field(default_factory=Pause)
    lost: Exception | None = None

    def __post_init__(self) -> None:
        self.stopping, self.clock = self.api.stopping, self.api.stopping.clock
        self.next_look = self.clock()
        self.resumed: float | None = None

    @cached_property
    def signals(self) -> Sequence[Signal]:
        """What may ask for a pause; each has been asked once.

        Raises BadOption for what cannot be measured here at all, PrivilegeMissing, or
        Unreachable for a replica.
        """
        signals = choose_signals(self.settings, self.api)
        for signal in signals:
            self.check(signal)
        return signals

    def listen(self) -> None:
        """Open and ask the signals now, before anything is written, if not done yet.

        Raises what ``signals`` raises.
        """
        _ = self.signals

    def check(self, signal: Signal) -> None:
        """Ask *signal* for the first time."""
        try:
            signal.reason()
        except RightMissing as error:
            raise PrivilegeMissing(what=signal.option, message=error) from error
        except Unmeasurable as error:
            value = getattr(self.settings, signal.option, "on")
            raise BadOption(signal.option, value, str(error)) from error
        except Unmeasured:
            # It may pass; until then there is a pause.
            return

    def pause_or_stop(self, drain: Callable[[], object] = lambda: None) -> None:
        """Pause between two batches if a signal asks for it, else go on.

        *drain* ends the batches under way, before a pause. Raises Stopped or
        PausedTooLong.
        """
        self.stopping.check_limits()
        self.pause(drain)
        self.keep_alive()

    def pause(self, drain: Callable[[], object] = lambda: None) -> None:
        """Return when nothing speaks against the next batch.

        If something does, *drain* is called first, to end the transactions under way.
        Raises PausedTooLong after ``max_pause`` seconds, and Stopped at a signal or at
        the time limit.
        """
        started, reasons = self.clock(), []
        busy = 0.0 if self.resumed is None else started - self.resumed
        if asleep := busy * self.settings.sleep_ratio:
            reasons.append("sleep_ratio")
            self.rest(asleep, "sleep_ratio")
        if self.clock() >= self.next_look:
            while why := self.reason():
                if why not in reasons:
                    drain()
                reasons.append(why)
                if self.clock() - started >= self.settings.max_pause:
                    raise PausedTooLong(seconds=self.settings.max_pause, reason=why)
                self.rest(EVERY, why)
            self.next_look = self.clock() + EVERY
        self.resumed = self.clock()
        if reasons:
            self.show("")
            seconds = self.owed.seconds + self.resumed - started
            self.owed = Pause(seconds=seconds, reason=reasons[-1])
        if self.lost:
            lost, self.lost = self.lost, None
            raise lost

    def reason(self) -> str | None:
        """Return the first reason for a pause, or None."""
        return next(filter(None, map(reason, self.signals)), None)

    def rest(self, seconds: float, why: str) -> None:
        """Wait, and keep the version's connection from being cut meanwhile.

        One that is lost all the same stops nothing until the pause is over: the
        server may be away for longer than ``attempts`` last.
        """
        self.show(why)
        until = self.clock() + seconds
        while (left := until - self.clock()) > 0:
            self.stopping.pause(min(left, EVERY))
            if self.lost is None:
                try:
                    self.keep_alive()
                except self.api.errors as error:
                    self.lost = error

    def take(self) -> Pause:
        """Return the pause since the last batch, for the journal entry of the next."""
        owed, self.owed = self.owed, Pause()
        return owed

    def give_back(self, pauses: Sequence[Pause]) -> None:
        """Owe the *pauses* before batches that were not committed to the next one."""
        pauses = [*pauses, self.owed]
        self.owed = Pause(
            seconds=sum(pause.seconds for pause in pauses),
            reason=next((p.reason for p in reversed(pauses) if p.reason), ""),
        )

    def close(self) -> None:
        """Close every connection to a replica."""
        for signal in self.__dict__.get("signals", ()):
            signal.close()


def reason(signal: Signal) -> str | None:
    """Return what *signal* says; what cannot be measured is a reason as well."""
    try:
        return signal.reason()
    except Unmeasured as error:
        return f"{signal.option} cannot be measured: {error}"
