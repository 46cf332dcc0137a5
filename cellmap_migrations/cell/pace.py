"""Choose how much a run may do while others use the API database.

Nothing here has a clock, a database or a thread. docs/throttling.rst has the reasons.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

# The weight of a new sample after the first ones.
GAIN = 1 / 16

# Mean deviations from the mean to the 99th percentile of a normal distribution.
TAIL = 2.9

# The least and the first room of a run beside others, and the most that one look adds.
LEAST, FIRST, STEP = 1 / 16, 1.0, 1 / 32

# Between this part of the bound and the bound itself, the room stays as it is.
CALM = 0.8

# The samples of a kind without which nothing is known.
ENOUGH = 8


@dataclass
class Latency:
    """Estimate the 99th percentile of a latency from a few samples.

    It keeps the mean and the mean deviation of the logarithms, as TCP does for its
    timeout: one stall among few samples would decide about a percentile of these.
    """

    count: int = 0
    mean: float = 0.0
    deviation: float = 0.0

    def add(self, seconds: float) -> None:
        """Add a sample; the first ones have equal weights."""
        self.count += 1
        gain, value = max(GAIN, 1 / self.count), math.log(max(seconds, 1e-6))
        error = value - self.mean
        self.mean += gain * error
        if self.count > 1:
            self.deviation += gain * (abs(error) - self.deviation)

    @property
    def p99(self) -> float:
        """Return the estimated 99th percentile, in seconds."""
        return math.exp(self.mean + TAIL * self.deviation)


@dataclass
class Pace:
    """Hold the *room* of a run: the number of batches that it may write at a time.

    Less than one is the part of the time in which it may write a batch. *alone* is the
    latency while the run rests, and *beside* while it writes.
    """

    room: float = FIRST
    # How many times as long others wait while the run writes, when last known.
    slowdown: float = 1.0
    alone: Latency = field(default_factory=Latency)
    beside: Latency = field(default_factory=Latency)

    def adapt(self, bound: float, most: float) -> None:
        """Adapt the room, which is at most *most*, to keep the slowdown in *bound*.

        It shrinks at once, by the excess and at most to a half, and grows slowly. The
        samples from before it shrank say nothing about what comes after.
        """
        if min(self.alone.count, self.beside.count) >= ENOUGH:
            self.slowdown = self.beside.p99 / self.alone.p99
            if self.slowdown > bound:
                self.room *= max(0.5, CALM * bound / self.slowdown)
                self.beside = Latency()
            elif self.slowdown < CALM * bound:
                self.room += STEP
        self.room = min(max(self.room, LEAST), most)
