"""While a cell is copied, no transaction is long, on any database."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest
import sqlalchemy as sa

from cellmap_migrations.copying.batches import START
from cellmap_migrations.databases.base import autocommits
from tests.conftest import MakeCloud
from tests.harness.inside import alembic_inside

pytestmark = pytest.mark.only_on("mysql", "postgresql")

WRITERS = 3


class Transactions:
    """Counts, for each transaction that ends, the batches that others committed."""

    def __init__(self) -> None:
        self.batches, self.spans = 0, list[int]()
        self.open: dict[int, int] = {}
        self.listeners: dict[str, Callable[..., object]] = {
            "begin": self.begin,
            "commit": self.end,
            "rollback": self.end,
            "after_cursor_execute": self.note,
        }

    def begin(self, connection: sa.Connection) -> None:
        """Take note of a transaction that the server knows of."""
        if not autocommits(connection):
            self.open[id(connection)] = self.batches

    def end(self, connection: sa.Connection) -> None:
        """Take note of its end."""
        if id(connection) in self.open:
            self.spans.append(self.batches - self.open.pop(id(connection)))

    def note(self, _: Any, __: Any, statement: str, *___: Any) -> None:
        """Count a batch."""
        self.batches += "INTO cellmap_journal" in statement

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count while the block runs."""
        for name, listener in self.listeners.items():
            sa.event.listen(sa.Engine, name, listener)
        try:
            yield
        finally:
            for name, listener in self.listeners.items():
                sa.event.remove(sa.Engine, name, listener)


def test_no_transaction_stays_open_from_batch_to_batch(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(1_000)
    x = {"batch_rows_min": "10", "batch_rows_max": "10", "writers": str(WRITERS)}
    transactions = Transactions()

    with transactions.counted():
        finished = alembic_inside(cloud, "upgrade", "head", cell="cell1", x=x)

    assert finished.code == 0, finished.err
    assert cloud.mapped_uuids(cell) == set(uuids)
    assert transactions.batches == 100
    assert transactions.open == {}
    # Its own batch, and those that were being written when it began.
    assert max(transactions.spans) <= WRITERS


def test_version_is_not_in_a_transaction_during_the_walk(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.add_instances(10)

    running = cloud.start_frozen("after FROM instances #3", cell="cell1")

    # Only the cell is being read.
    sessions = cloud.sessions().all()
    assert len(sessions) >= 2
    assert [session.seconds for session in sessions] == [None] * len(sessions)
    assert running.kill9().code == -9


def test_batches_adapt_to_their_time(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.add_instances(20_000)

    cloud.alembic("upgrade", "0001", cell="cell1", x={"batch_seconds": "0.1"})

    batches = [batch for batch in cloud.journal(cell) if batch["rows_read"]]
    whole = batches[1:-1]
    assert len(whole) > 3
    # Half as much again at the most; tests/unit/copying/test_pace.py tests the rest.
    for before, after in pairwise(whole):
        assert after["rows_read"] <= before["rows_read"] * 1.5
    assert {batch["rows_read"] for batch in whole} != {START}
