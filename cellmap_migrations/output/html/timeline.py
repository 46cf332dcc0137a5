"""Sum up the batches of a cell over time, for the charts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from cellmap_migrations.output.html.model import PauseSpan, Timeline

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    Batch = Mapping[str, Any]


# The most points of a chart. A batch takes half a second, and a walk may take a day.
POINTS = 120

# After a longer time without a batch, another walk begins. Older walks are not drawn.
GAP = timedelta(hours=1)

# Times in the journal are whole seconds: fewer seconds than these have no shape.
SHORTEST = timedelta(seconds=4)


def make_timeline(cell: str, batches: Sequence[Batch]) -> Timeline | None:
    """Return the newest walk in the journal entries *batches* of *cell*.

    Returns None if the cell has no batch that read rows, or only for a few seconds.
    """
    walk = newest_walk([batch for batch in batches if batch["rows_read"]])
    if not walk:
        return None
    start, end = min(map(began, walk)), max(map(ended, walk))
    if end - start < SHORTEST:
        return None
    count = min(POINTS, int((end - start).total_seconds()))
    width = (end - start) / count
    parts: dict[int, list[int]] = {number: [] for number in range(count)}
    for batch in walk:
        number = min((batch["started_at"] - start) // width, count - 1)
        parts[number].append(batch["rows_read"])
    middles = {n: min(start + (n + 0.5) * width, end) for n in parts}
    seconds = width.total_seconds()
    return Timeline(
        cell=cell,
        start=start,
        end=end,
        throughput=[(middles[n], sum(rows) / seconds) for n, rows in parts.items()],
        batch_rows=[
            (middles[n], sum(rows) / len(rows)) for n, rows in parts.items() if rows
        ],
        pauses=join([pause(batch) for batch in walk if batch["paused"]], width),
        batches=len(walk),
        rows=sum(batch["rows_read"] for batch in walk),
    )


def newest_walk(batches: Sequence[Batch]) -> list[Batch]:
    """Return the batches after the last GAP, in the order of their times."""
    ordered = sorted(batches, key=lambda batch: (batch["started_at"], batch["batch"]))
    breaks = [
        number
        for number, (one, other) in enumerate(pairwise(ordered), start=1)
        if began(other) - ended(one) > GAP
    ]
    return ordered[breaks[-1] if breaks else 0 :]


def began(batch: Batch) -> datetime:
    """Return the time at which a batch began, with the pause before it."""
    start: datetime = batch["started_at"] - timedelta(seconds=batch["paused"])
    return start


def ended(batch: Batch) -> datetime:
    """Return the time at which a batch was committed."""
    end: datetime = batch["started_at"] + timedelta(seconds=batch["seconds"])
    return end


def pause(batch: Batch) -> PauseSpan:
    """Return the pause before a batch."""
    return PauseSpan(
        start=began(batch), end=batch["started_at"], reason=batch["pause_reason"]
    )


def join(pauses: Sequence[PauseSpan], width: timedelta) -> list[PauseSpan]:
    """Join pauses for one reason that are less than *width* apart.

    ``sleep_ratio`` pauses before each batch.
    """
    joined: list[PauseSpan] = []
    for each in pauses:
        last = joined[-1] if joined else None
        if last and last.reason == each.reason and each.start - last.end <= width:
            joined[-1] = replace(last, end=each.end)
        else:
            joined.append(each)
    return joined
