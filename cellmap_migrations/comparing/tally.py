"""Count differences by kind, for reports."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from cellmap_migrations.comparing.differences import Difference, Kind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable


# The most uuids of a kind to show.
EXAMPLES = 10


class Tally:
    """Count differences by kind, and keep up to EXAMPLES of each kind."""

    def __init__(self) -> None:
        self.counts: Counter[Kind] = Counter()
        self.examples: dict[Kind, list[Difference]] = {}

    def add(self, differences: Iterable[Difference]) -> None:
        """Count some differences."""
        for difference in differences:
            self.counts[difference.kind] += 1
            if self.counts[difference.kind] <= EXAMPLES:
                self.examples.setdefault(difference.kind, []).append(difference)

    def total(self, *without: Kind) -> int:
        """Return the number of differences of all kinds except *without*."""
        return sum(n for kind, n in self.counts.items() if kind not in without)

    def kinds(self) -> list[Kind]:
        """Return the kinds with a count, in the order of Kind."""
        return [kind for kind in Kind if self.counts[kind]]

    def __str__(self) -> str:
        return ", ".join(f"{self.counts[kind]:,} {kind.value}" for kind in self.kinds())

    def lines(self) -> list[str]:
        """Return a line for each kind: its count and the examples' uuids."""
        return [
            f"{kind.value:<18}{self.counts[kind]:>9,}  "
            + " ".join(difference.uuid for difference in self.examples[kind])
            for kind in self.kinds()
        ]

    def listing(self, kinds: Collection[Kind] = tuple(Kind)) -> list[str]:
        """Return a line for each example of *kinds*: its uuid and the reason."""
        lines = []
        for kind in self.kinds():
            if kind not in kinds:
                continue
            shown = self.examples[kind]
            lines += [f"{kind.value:<18}{each.uuid}  {each.why}" for each in shown]
            if (more := self.counts[kind] - len(shown)) > 0:
                lines.append(f"{kind.value:<18}and {more:,} more")
        return lines

    def as_dict(self) -> dict[str, Any]:
        """Return the count, and the examples' uuids and reasons, by kind."""
        return {
            kind.value: {
                "count": self.counts[kind],
                "uuids": [difference.uuid for difference in self.examples[kind]],
                "why": [difference.why for difference in self.examples[kind]],
            }
            for kind in self.kinds()
        }
