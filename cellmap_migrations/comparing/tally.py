"""Count differences, and keep a few of each kind to show."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from cellmap_migrations.comparing.differences import Kind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from cellmap_migrations.comparing.differences import Difference

EXAMPLES = 10


class Tally:
    """How many differences of each kind there are, with up to EXAMPLES of each."""

    def __init__(self) -> None:
        self.counts: Counter[Kind] = Counter()
        self.examples: dict[Kind, list[Difference]] = {}

    def add(self, differences: Iterable[Difference]) -> None:
        """Take in some differences."""
        for difference in differences:
            self.counts[difference.kind] += 1
            if self.counts[difference.kind] <= EXAMPLES:
                self.examples.setdefault(difference.kind, []).append(difference)

    def total(self, *without: Kind) -> int:
        """Return how many there are, leaving out the kinds *without*."""
        return sum(n for kind, n in self.counts.items() if kind not in without)

    def found(self) -> list[Kind]:
        """Return the kinds there are, in an order that is always the same."""
        return [kind for kind in Kind if self.counts[kind]]

    def __str__(self) -> str:
        return ", ".join(f"{self.counts[kind]:,} {kind.value}" for kind in self.found())

    def lines(self) -> list[str]:
        """Return a line for each kind: its count and some uuids."""
        return [
            f"{kind.value:<18}{self.counts[kind]:>9,}  "
            + " ".join(difference.uuid for difference in self.examples[kind])
            for kind in self.found()
        ]

    def listing(self, kinds: Collection[Kind] = tuple(Kind)) -> list[str]:
        """Return a line for each example of *kinds*, with the reason."""
        lines = []
        for kind in self.found():
            if kind not in kinds:
                continue
            shown = self.examples[kind]
            lines += [f"{kind.value:<18}{each.uuid}  {each.why}" for each in shown]
            if (more := self.counts[kind] - len(shown)) > 0:
                lines.append(f"{kind.value:<18}and {more:,} more")
        return lines

    def as_dict(self) -> dict[str, Any]:
        """Return counts, uuids and what is different about each of those, by kind."""
        return {
            kind.value: {
                "count": self.counts[kind],
                "uuids": [difference.uuid for difference in self.examples[kind]],
                "why": [difference.why for difference in self.examples[kind]],
            }
            for kind in self.found()
        }
