"""A ratio of two things that were measured in one run."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """Hold the values of *ours* and of its comparison *beside*, in *unit*.

    The ratio says how many times as fast ours is, or with ``cost`` how many times as
    much it takes. *target* is the least of the one, and the most of the other;
    *plus* is what the other may be exceeded by at any ratio, in *unit*.
    """

    name: str
    beside: str
    database: str
    rows: int
    unit: str
    ours: Sequence[float]
    theirs: Sequence[float]
    cost: bool = False
    target: float | None = None
    plus: float = 0.0

    @property
    def value(self) -> float:
        """Return the ratio of the medians."""
        ours, theirs = median(self.ours), median(self.theirs)
        return ours / theirs if self.cost else theirs / ours

    @property
    def difference(self) -> float:
        """Return the difference of the medians in *unit*."""
        return median(self.ours) - median(self.theirs)

    @property
    def met(self) -> bool | None:
        """Return True if the target is met, or None without a target."""
        if self.target is None:
            return None
        if not self.cost:
            return self.value >= self.target
        return median(self.ours) <= self.target * median(self.theirs) + self.plus

    def record(self) -> dict[str, Any]:
        """Return what is written to the file of results."""
        derived = {"ratio": self.value, "difference": self.difference, "met": self.met}
        return asdict(self) | derived
