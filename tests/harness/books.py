"""Check mappings and journal after runs that were disturbed."""

from collections.abc import Collection
from itertools import pairwise
from typing import Any

from cellmap_migrations.bookkeeping.tables import COUNTS
from cellmap_migrations.testing.cell import Cell
from tests.harness.cloud import Cloud

HEAD = "0003"


def assert_books_balance(
    cloud: Cloud, cell: Cell, among: Collection[str] | None = None
) -> None:
    """Check that every committed batch is whole, and that nothing else was written.

    While nova is at work, only *among* the servers that it leaves alone: what it writes
    may bear the time of a batch.
    """
    batches = walked(cloud, cell)

    assert [batch["batch"] for batch in batches] == list(range(1, len(batches) + 1))
    for before, batch in pairwise(batches):
        assert batch["after_id"] == before["upto_id"]
    for batch in batches:
        assert batch["rows_read"] == sum(batch[name] for name in COUNTS)
    ours = inserted(cloud, cell)
    assert kept(batches) == len(ours if among is None else ours & {*among})


def walked(cloud: Cloud, cell: Cell) -> list[dict[str, Any]]:
    """Return the batches of the revision that walks the cell."""
    return [batch for batch in cloud.journal(cell) if batch["revision"] == "0001"]


def total(batches: list[dict[str, Any]], outcome: str) -> int:
    """Add up one count of the journal."""
    return sum(batch[outcome] for batch in batches)


def kept(batches: list[dict[str, Any]]) -> int:
    """Return the number of mappings that were inserted and not removed.

    One that is inserted just when nova archives its instance is removed by the
    comparison that follows.
    """
    return total(batches, "mapped") - total(batches, "removed")


def inserted(cloud: Cloud, cell: Cell) -> set[str]:
    """Return the uuids whose mappings carry a stamp of the journal."""
    stamps = {batch["stamp"] for batch in cloud.journal(cell)}
    return {
        uuid
        for uuid, row in cloud.mappings().items()
        if row.cell_id == cell.id and row.updated_at in stamps
    }
