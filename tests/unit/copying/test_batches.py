"""A batch is written once, and recorded if it changed a row or moved the checkpoint."""

import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine.default import DefaultDialect

from cellmap_migrations.bookkeeping import journal
from cellmap_migrations.cell.cell import Cell
from cellmap_migrations.common.errors import Stopped, TryAgain
from cellmap_migrations.copying.batches import (
    Batches,
    Write,
    first_batch_size,
    limit_rows,
    split_at_limit,
)
from cellmap_migrations.operations.revisions import prepare
from tests.harness.cloud import Cloud
from tests.harness.inside import opened


@pytest.fixture
def inside(cloud: Cloud) -> Iterator[Cell]:
    """Give the cell to a version script, with four rows as the limit of a run."""
    cloud.configure(cellmap={"max_rows": 4})
    with opened(cloud, cloud.add_cell("cell1")) as inside:
        prepare(inside)
        yield inside


def counting(**counts: int) -> Write:
    """Return the function of a batch with these counts that writes no mapping."""
    return lambda _connection, _stamp: Counter(counts)


def entries(cloud: Cloud) -> list[dict[str, Any]]:
    """Return the journal of the only cell."""
    return cloud.journal(cloud.cells[0])


def test_batch_whose_commit_was_not_answered_is_written_once(
    cloud: Cloud, inside: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches, written = Batches(inside, "0001"), []
    commit: Callable[..., None] = DefaultDialect.do_commit

    def unanswered(dialect: DefaultDialect, connection: Any) -> None:
        monkeypatch.undo()
        commit(dialect, connection)
        raise sqlite3.OperationalError("database is locked")

    def write(_connection: sa.Connection, stamp: datetime) -> Counter[str]:
        written.append(stamp)
        monkeypatch.setattr(DefaultDialect, "do_commit", unanswered)
        return Counter(mapped=2)

    counts = batches.commit(lambda: write, 7)

    assert (len(written), counts["mapped"]) == (1, 2)
    assert (batches.number, batches.upto_id) == (1, 7)
    assert [entry["mapped"] for entry in entries(cloud)] == [2]
    assert inside.report.spent == 2


def test_batch_of_another_run_with_the_same_number_ends_this_one(
    inside: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches, other = Batches(inside, "0001"), Batches(inside, "0001")
    slot = batches.next_slot(7, journal.Pause())
    monkeypatch.setattr(journal, "runner", lambda: "elsewhere:1")
    other.commit(lambda: counting(mapped=1), 7)
    monkeypatch.undo()

    with pytest.raises(TryAgain, match="another run"):
        batches.committed(slot)


def test_own_batch_with_other_ids_is_not_taken_for_this_one(inside: Cell) -> None:
    batches, other = Batches(inside, "0001"), Batches(inside, "0001")
    other.commit(lambda: counting(mapped=1), 7)

    with pytest.raises(TryAgain, match="another run"):
        batches.committed(batches.next_slot(8, journal.Pause()))


def test_committed_batch_is_not_looked_up_again(inside: Cell) -> None:
    batches = Batches(inside, "0001")
    assert batches.committed() is None

    batches.commit(lambda: counting(mapped=1), 7)

    assert batches.committed() is None


@pytest.mark.parametrize(
    ("counts", "upto_id", "undo", "recorded"),
    [
        pytest.param({"rejected": 1}, 0, None, False, id="changes nothing"),
        pytest.param({"mapped": 0}, 0, None, False, id="zero of a change"),
        pytest.param({"mended": 1}, 0, None, True, id="mends a mapping"),
        pytest.param({"removed": 1}, 0, None, True, id="removes a mapping"),
        pytest.param({"mapped": 1}, 0, None, True, id="inserts a mapping"),
        pytest.param({}, 5, None, True, id="moves the checkpoint"),
        pytest.param({}, 0, "{}", True, id="can be undone"),
    ],
)
def test_batch_that_changes_nothing_has_no_entry(
    cloud: Cloud,
    inside: Cell,
    counts: dict[str, int],
    upto_id: int,
    undo: str | None,
    *,
    recorded: bool,
) -> None:
    batches = Batches(inside, "0001")

    batches.commit(lambda: counting(**counts), upto_id, lambda: undo)

    assert inside.report.counts == Counter(counts)
    assert [entry["batch"] for entry in entries(cloud)] == [1] * recorded
    assert (batches.number, batches.upto_id) == (int(recorded), upto_id)


def test_limit_of_rows_counts_changes_only_where_nothing_is_walked(
    inside: Cell,
) -> None:
    batches = Batches(inside, "0001")

    batches.commit(lambda: counting(mended=1, already=5), 0)
    assert inside.report.spent == 1
    batches.commit(lambda: counting(mapped=1, already=1), 9)
    assert inside.report.spent == 3


def test_entry_has_the_seconds_and_the_highest_id_before_its_mappings(
    cloud: Cloud, inside: Cell
) -> None:
    batches = Batches(inside, "0001")
    cell = cloud.cells[0]
    began = time.monotonic()
    batches.commit(lambda: counting(mapped=1), 1)
    assert 0 <= entries(cloud)[0]["seconds"] <= time.monotonic() - began
    cloud.map(cell.add_instance(), cell, id=40)
    cloud.map(cell.add_instance(), cell, id=30)

    batches.commit(lambda: counting(mapped=1), 2)

    assert [entry["above_id"] for entry in entries(cloud)] == [0, 40]


def test_rewound_walk_begins_at_the_start_once(cloud: Cloud, inside: Cell) -> None:
    batches = Batches(inside, "0001")
    assert (batches.number, batches.upto_id, batches.rows) == (0, 0, 0)
    batches.rewind()
    batches.commit(lambda: counting(mapped=1), 9)

    batches.rewind()

    again = Batches(inside, "0001")
    assert [entry["upto_id"] for entry in entries(cloud)] == [9, 0]
    assert (again.number, again.upto_id, again.rows) == (2, 0, 0)


def test_next_run_goes_on_after_the_last_batch(inside: Cell) -> None:
    Batches(inside, "0001").commit(lambda: counting(mapped=3), 9)
    Batches(inside, "0002").commit(lambda: counting(mended=1), 5)

    again = Batches(inside, "0001")

    assert (again.number, again.upto_id, again.rows) == (1, 9, 3)


def test_batch_waits_for_its_turn_before_its_entry(
    cloud: Cloud, inside: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches, order, append = Batches(inside, "0001"), [], journal.append

    def noting(*given: Any, **named: Any) -> None:
        order.append("entry")
        append(*given, **named)

    monkeypatch.setattr(journal, "append", noting)
    slot = batches.next_slot(7, journal.Pause())

    counts, recorded = batches.commit_once(
        slot, lambda: counting(mapped=1), lambda: order.append("turn")
    )

    assert (counts, recorded) == (Counter(mapped=1), True)
    assert order == ["turn", "entry"]
    assert len(entries(cloud)) == 1


@pytest.mark.parametrize("mapped", [0, 1], ids=["nothing to do", "committed"])
def test_pause_before_a_batch_without_entry_is_told_with_the_next(
    cloud: Cloud, inside: Cell, mapped: int
) -> None:
    batches, pause = Batches(inside, "0001"), journal.Pause(seconds=3.0, reason="lag")
    inside.throttle.give_back([pause])

    batches.commit_prepared(counting(mapped=mapped))
    batches.commit_prepared(counting(mapped=1))

    paused = [(entry["paused"], entry["pause_reason"]) for entry in entries(cloud)]
    assert paused == [(3.0, "lag"), (0.0, "")][: 1 + mapped]


def test_pause_before_a_batch_that_fails_is_told_with_the_next(
    cloud: Cloud, inside: Cell
) -> None:
    batches, pause = Batches(inside, "0001"), journal.Pause(seconds=3.0, reason="lag")
    inside.throttle.give_back([pause])

    def fail() -> Write:
        raise Stopped("SIGTERM received")

    with pytest.raises(Stopped):
        batches.commit(fail, 7)
    batches.commit_prepared(counting(mapped=1))

    assert [entry["paused"] for entry in entries(cloud)] == [3.0]


@pytest.mark.parametrize(
    ("least", "rows", "size", "most"),
    [
        pytest.param(10, 0, 1_000, 25_000, id="first run"),
        pytest.param(10, 5_000, 5_000, 25_000, id="after large batches"),
        pytest.param(10, 7, 1_000, 25_000, id="after small batches"),
        pytest.param(30_000, 0, 30_000, 30_000, id="many rows at least"),
    ],
)
def test_first_batch_follows_the_last_one_of_the_journal(
    cloud: Cloud, least: int, rows: int, size: int, most: int
) -> None:
    cloud.configure(cellmap={"batch_rows_min": least})
    with opened(cloud, cloud.add_cell("cell1")) as inside:
        pace = first_batch_size(inside, rows)

    assert (pace.size, pace.least, pace.most) == (size, least, most)


def test_last_row_of_the_limit_is_allowed(inside: Cell) -> None:
    inside.report.count(Counter(mapped=3), spent=3)

    assert limit_rows(inside, 5) == 1


def test_time_limit_ends_only_after_a_change(inside: Cell) -> None:
    inside.stopping.limit(0.0)

    assert [list(part) for part in split_at_limit(inside, range(3))] == [[0, 1, 2]]
    parts = split_at_limit(inside, range(3))
    next(parts)
    inside.report.count(Counter(mapped=3), spent=3)
    with pytest.raises(Stopped, match="time limit"):
        next(parts)


def test_rows_are_cut_at_the_limit_of_a_run(inside: Cell) -> None:
    found: list[list[int]] = []

    def write() -> None:
        for part in split_at_limit(inside, range(6)):
            found.append(list(part))
            inside.report.count(Counter(mapped=len(part)), spent=len(part))

    with pytest.raises(Stopped, match="4 rows done"):
        write()
    assert found == [[0, 1, 2, 3]]


def test_rows_that_needed_no_change_do_not_count(inside: Cell) -> None:
    inside.report.count(Counter(mapped=1), spent=1)

    assert [list(part) for part in split_at_limit(inside, range(3))] == [[0, 1, 2]]
    assert [list(part) for part in split_at_limit(inside, range(4))] == [[0, 1, 2], [3]]


def test_nothing_to_do_is_done_at_the_limit_too(inside: Cell) -> None:
    inside.report.count(Counter(mapped=4), spent=4)

    assert list(split_at_limit(inside, [])) == []
    assert limit_rows(inside, 0) == 0
