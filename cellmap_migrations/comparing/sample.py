"""Compare a sample of a cell with its mappings: the cost does not grow with the cell.

The ids are drawn in the same way each time, so that a second run looks at the same
rows and tells whether a repair has mended them. The oldest build requests are looked up
as well: they are few, and the boots that they are for may have died.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellmap_migrations.comparing.checksums import sides
from cellmap_migrations.comparing.differences import examine
from cellmap_migrations.comparing.evidence import draw_uuids, paged
from cellmap_migrations.copying import decide
from cellmap_migrations.copying.decide import SECOND_LOOK

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cellmap_migrations.cell.cell import Cell
    from cellmap_migrations.comparing.differences import Difference
    from cellmap_migrations.copying.plan import Plan


# How many rows of each side. What is wrong with one row in 600 is found in 19 cells of
# 20: (1 - 1/600) ** 2000 is 0.036.
ROWS = 2_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """The uuids drawn from both sides; *whole* if these are all there are.

    nova has build requests for *requested*, of which this cell may have none.
    """

    instances: Sequence[str]
    mappings: Sequence[str]
    requested: Sequence[str]
    whole: bool

    def __str__(self) -> str:
        counts = f"{len(self.instances):,} instances, {len(self.mappings):,} mappings"
        return f"all {counts}" if self.whole else f"only a sample of {counts}"


def draw(cell: Cell, plan: Plan) -> Sample:
    """Draw rows of both sides, each row of a side with the same chance."""
    ours, theirs = sides(cell, plan, compared=())
    instances, all_instances = draw_uuids(ours, cell.mapping.uuid, ROWS)
    mappings, all_mappings = draw_uuids(theirs, cell.mapping.uuid, ROWS)
    return Sample(
        instances=instances,
        mappings=mappings,
        requested=decide.oldest_requested(cell.api, ROWS),
        whole=all_instances and all_mappings,
    )


def differences(
    cell: Cell, plan: Plan, compared: Sequence[str], sample: Sample
) -> Iterator[list[Difference]]:
    """Yield pages of what differs among *sample*, both ways, after a second look."""
    drawn_uuids = (*sample.instances, *sample.mappings, *sample.requested)
    uuids = list(dict.fromkeys(drawn_uuids))
    doubtful = [
        difference.uuid
        for some in paged(uuids)
        for difference in examine(cell, plan, some, compared).differences(compared)
    ]
    if doubtful:
        cell.stopping.wait(SECOND_LOOK)
    for some in paged(list(dict.fromkeys(doubtful))):
        yield examine(cell, plan, some, compared).differences(compared)
