"""What must be true of mappings and journal, however a run was disturbed."""

from itertools import pairwise
from typing import Any

from cellmap_migrations.outcomes import Outcome
from tests.nova.cell import Cell
from tests.nova.cloud import Cloud

HEAD = "0003"


def assert_books_balance(cloud: Cloud, cell: Cell) -> None:
    """Check that every committed batch is whole, and that nothing else was written."""
    batches = walked(cloud, cell)

    assert [batch["batch"] for batch in batches] == list(range(1, len(batches) + 1))
    for before, batch in pairwise(batches):
        assert batch["after_id"] == before["upto_id"]
    for batch in batches:
        assert batch["rows_read"] == sum(batch[outcome.value] for outcome in Outcome)
    assert total(batches, "mapped") == len(inserted(cloud, cell))


def walked(cloud: Cloud, cell: Cell) -> list[dict[str, Any]]:
    """Return the batches of the revision that walks the cell."""
    return [batch for batch in cloud.journal(cell) if batch["revision"] == "0001"]


def total(batches: list[dict[str, Any]], outcome: str) -> int:
    """Add up one count of the journal."""
    return sum(batch[outcome] for batch in batches)


def inserted(cloud: Cloud, cell: Cell) -> set[str]:
    """Return the uuids whose mappings carry a stamp of the journal."""
    stamps = {batch["stamp"] for batch in cloud.journal(cell)}
    return {
        uuid
        for uuid, row in cloud.mappings().items()
        if row.cell_id == cell.id and row.updated_at in stamps
    }
