"""Pause between two batches, while no transaction is open."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from cellmap_migrations.bookkeeping.journal import Pause
from cellmap_migrations.cell.signals import (
    ClusterNode,
    PauseFile,
    ReplicaLag,
    RunningThreads,
)
from cellmap_migrations.common.errors import BadOption
from cellmap_migrations.common.sentences import PausedTooLong, PrivilegeMissing
from cellmap_migrations.databases.status import RightMissing, Unmeasurable, Unmeasured

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cellmap_migrations.cell.control import Control
    from cellmap_migrations.cell.signals import Signal
    from cellmap_migrations.cell.slowdown import Slowdown
    from cellmap_migrations.config.settings import Settings
    from cellmap_migrations.databases.database import Database


# Seconds between two queries of the signals, so that they are no load themselves.
EVERY = 1.0


class Reason(NamedTuple):
    """Hold a reason to pause in words, and the option that causes the pause."""

    words: str
    option: str


# It needs no signal: the run knows how long its last batch took.
SLEEP = Reason("sleep_ratio", "sleep_ratio")


@dataclass(kw_only=True)
class Throttle:
    """Pause the run while one of its signals returns a reason.

    *keep_alive* uses a connection that a proxy would cut if it were idle for long.
    *show* displays the reason of the pause, and with an empty text its end.
    """

    control: Control
    api: Database
    slowdown: Slowdown
    keep_alive: Callable[[], None]
    show: Callable[[str], None]
    owed: Pause = field(default_factory=Pause)
    lost: Exception | None = None

    def __post_init__(self) -> None:
        self.stopping, self.clock = self.api.stopping, self.api.stopping.clock
        self.next_look = self.clock()
        self.resumed: float | None = None

    @property
    def settings(self) -> Settings:
        """Return the settings of the moment."""
        return self.control.settings

    @cached_property
    def signals(self) -> Sequence[Signal]:
        """Return the signals, after one query of each.

        Raises BadOption for a signal that this server can never measure,
        PrivilegeMissing, Unreachable for a replica, or the errors of ``Control.look``.
        """
        # A SELECT, with which the control is read, waits on a node that is behind. The
        # other signals compare with the settings that the control holds.
        signals = (
            *cluster_signals(self.api),
            self.control,
            *choose_signals(lambda: self.settings, self.api),
        )
        for signal in signals:
            self.ask_first(signal)
        self.slowdown.look(lambda: None)
        return signals

    def open_signals(self) -> None:
        """Open and ask the signals once, before the first write.

        Raises the errors of ``signals``.
        """
        _ = self.signals

    def ask_first(self, signal: Signal) -> None:
        """Ask *signal* once; raise PrivilegeMissing or BadOption if it cannot work."""
        try:
            signal.pause_reason()
        except RightMissing as error:
            raise PrivilegeMissing(what=signal.option, message=error) from error
        except Unmeasurable as error:
            value = getattr(self.settings, signal.option, "on")
            raise BadOption(signal.option, value, str(error)) from error
        except Unmeasured:
            # The cause may pass; until then the run pauses.
            return

    def pause_or_stop(self, drain: Callable[[], object] = lambda: None) -> None:
        """Stop at a limit or a signal of the operating system; else pause if needed.

        *drain* is called before a pause to end the batches under way. Raises Stopped or
        PausedTooLong.
        """
        self.stopping.check_limits()
        self.pause(drain)
        self.keep_alive()

    def pause(self, drain: Callable[[], object] = lambda: None) -> None:
        """Return when no signal names a reason to pause.

        *drain* is called before the pause, to end the transactions under way. Raises
        PausedTooLong after ``max_pause`` seconds, and Stopped at a signal of the
        operating system or at the time limit. The pause of an operator has an end of
        its own, and does not count.
        """
        started = self.clock()
        reasons: list[Reason] = []
        busy = 0.0 if self.resumed is None else started - self.resumed
        if busy * self.sleep_ratio:
            reasons.append(self.why_sleep)
            self.sleep(busy)
        if self.slowdown.look(drain):
            reasons.append(self.slower)
        if self.clock() >= self.next_look:
            since = started
            while why := self.first_reason():
                if why not in reasons:
                    drain()
                reasons.append(why)
                if self.control.pause:
                    since = self.clock()
                elif self.clock() - since >= self.settings.max_pause:
                    most = self.settings.max_pause
                    raise PausedTooLong(seconds=most, reason=why.words)
                self.rest(EVERY, why.words)
            self.next_look = self.clock() + EVERY
        self.resumed = self.clock()
        if reasons:
            self.show("")
            seconds = self.owed.seconds + self.resumed - started
            words, option = reasons[-1]
            self.owed = Pause(seconds=seconds, reason=words, option=option)
        if self.lost:
            lost, self.lost = self.lost, None
            raise lost

    def pause_comparison(self, drain: Callable[[], object]) -> None:
        """Pause as ``pause`` does, but without the sleep of ``sleep_ratio``.

        That is in proportion to a batch, and a comparison writes none.
        """
        self.resumed = None
        self.pause(drain)

    @property
    def sleep_ratio(self) -> float:
        """Return how many times as long as its work the run sleeps."""
        return max(self.settings.sleep_ratio, self.slowdown.sleep_ratio)

    @property
    def slower(self) -> Reason:
        """Return how much longer others wait, as a reason to pause."""
        return Reason(str(self.slowdown), "max_slowdown")

    @property
    def why_sleep(self) -> Reason:
        """Return the reason of the longer one of the two sleeps."""
        own = self.settings.sleep_ratio >= self.slowdown.sleep_ratio
        return SLEEP if own else self.slower

    def sleep(self, busy: float) -> None:
        """Sleep *busy* seconds times ``sleep_ratio``, which may change meanwhile."""
        started = self.clock()
        while (left := started + busy * self.sleep_ratio - self.clock()) > 0:
            self.rest(min(left, EVERY), self.why_sleep.words)
            if left > EVERY:
                self.control.look()
        self.slowdown.measure_sleeping()

    def first_reason(self) -> Reason | None:
        """Return the first signal's reason to pause, or None."""
        return next(filter(None, map(reason_of, self.signals)), None)

    def rest(self, seconds: float, why: str) -> None:
        """Wait for *seconds*, and use the version's connection meanwhile.

        If that connection is lost, its error is raised only when the pause is over:
        the server may be down for longer than all ``attempts`` take.
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
        """Return the pause since the last batch, for the next batch's journal entry."""
        owed, self.owed = self.owed, Pause()
        return owed

    def give_back(self, pauses: Sequence[Pause]) -> None:
        """Add the *pauses* of batches that were not committed to the next batch's."""
        pauses = [*pauses, self.owed]
        last = next((pause for pause in reversed(pauses) if pause.reason), Pause())
        self.owed = replace(last, seconds=sum(pause.seconds for pause in pauses))

    def close(self) -> None:
        """Close the connections of all signals."""
        self.slowdown.close()
        for signal in self.__dict__.get("signals", ()):
            signal.close()


def reason_of(signal: Signal) -> Reason | None:
    """Return the signal's reason to pause, or None.

    A signal that cannot be measured now is a reason as well.
    """
    try:
        words = signal.pause_reason()
    except Unmeasured as error:
        words = f"{signal.option} cannot be measured: {error}"
    return Reason(words, signal.option) if words else None


def choose_signals(settings: Callable[[], Settings], api: Database) -> list[Signal]:
    """Return the signals that the settings name.

    *settings* returns the settings of the moment, which have the limits.
    """
    chosen: list[Signal] = []
    if path := settings().pause_file:
        chosen.append(PauseFile(path))
    chosen.append(RunningThreads(api, settings))
    # One signal per replica: a replica that is behind must not keep the run from seeing
    # that another name is no replica.
    names = settings().replicas
    chosen.extend(ReplicaLag(settings, api, name) for name in names)
    return chosen


def cluster_signals(api: Database) -> list[Signal]:
    """Return the signal of the server's cluster, or nothing without a cluster."""
    return [ClusterNode(api)] if ClusterNode.is_possible(api) else []
