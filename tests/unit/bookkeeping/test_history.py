"""Rates and states are computed from the times of the batches."""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from cellmap_migrations.bookkeeping.history import (
    LATELY,
    History,
    Run,
    batches,
    of_cells,
)
from cellmap_migrations.bookkeeping.tables import COUNTS, create_tables, journal
from cellmap_migrations.databases.database import Database
from cellmap_migrations.testing.rows import LONG_AGO
from tests.conftest import MakeCloud
from tests.harness.cloud import Cloud
from tests.harness.inside import opened


def run(**changes: Any) -> Run:
    """Return a run of 10 seconds that walked 100 rows from id 1000 to id 1200."""
    usual = {
        "revision": "0001",
        "runner": "host:1",
        "batches": 2,
        "rows": 100,
        "counts": Counter(mapped=100),
        "after_id": 1000,
        "upto_id": 1200,
        "began": LONG_AGO,
        "last_batch": LONG_AGO + timedelta(seconds=10),
        "busy": 4.0,
        "rewound": False,
    }
    return Run(**{**usual, **changes})


def test_run_takes_as_long_as_from_its_first_batch_to_its_last() -> None:
    assert (run().seconds, run().rows_per_second) == (10.0, 10)


def test_run_takes_as_long_as_its_batches_at_least() -> None:
    short = run(last_batch=LONG_AGO)

    assert (short.seconds, short.rows_per_second) == (4.0, 25)


def test_run_without_a_duration_has_no_rate() -> None:
    assert run(last_batch=LONG_AGO, busy=0.0).rows_per_second == 0


@pytest.mark.parametrize(
    ("highest_id", "changes", "seconds"),
    [
        pytest.param(1600, {}, 20.0, id="twice as far again"),
        pytest.param(1201, {}, 0.05, id="one id left"),
        pytest.param(1002, {"upto_id": 1001}, 10.0, id="one id done"),
        pytest.param(1200, {}, None, id="at the end"),
        pytest.param(1100, {}, None, id="beyond the end"),
        pytest.param(1600, {"upto_id": 1000}, None, id="not advanced"),
        pytest.param(1600, {"upto_id": 0}, None, id="rewound"),
    ],
)
def test_time_left_follows_the_ids_that_are_left(
    highest_id: int, changes: dict[str, Any], seconds: float | None
) -> None:
    assert run(**changes).seconds_left(highest_id) == seconds


def test_run_is_active_for_a_minute_after_its_last_batch() -> None:
    history = History(runs=[run(last_batch=LONG_AGO - timedelta(days=1)), run()])
    last = LONG_AGO + timedelta(seconds=10)

    assert timedelta(minutes=1) == LATELY
    assert history.active(last + LATELY - timedelta(seconds=1))
    assert not history.active(last + LATELY)


def test_rewound_run_is_not_active() -> None:
    assert not History(runs=[run(rewound=True)]).active(LONG_AGO)


def test_cell_without_runs_has_nothing_to_add_up() -> None:
    history = History()

    assert (history.last, history.batches, history.rows) == (None, 0, 0)
    assert history.counts == Counter()
    assert not history.active(LONG_AGO)


def test_history_adds_up_all_runs() -> None:
    history = History(runs=[run(), run(counts=Counter(mapped=1, moved=2), rows=3)])

    assert (history.batches, history.rows) == (4, 103)
    assert history.counts == Counter(mapped=101, moved=2)


@pytest.fixture
def api(make_cloud: MakeCloud) -> Iterator[Database]:
    """Open the API database, which has an empty journal."""
    cloud = make_cloud()
    with opened(cloud, cloud.add_cell("cell1")) as inside:
        create_tables(inside.api)
        yield inside.api


def add(api: Database, number: int, **changes: Any) -> None:
    """Insert a batch of the second *number* into the journal."""
    at = LONG_AGO + timedelta(seconds=number)
    usual = {
        **dict.fromkeys(COUNTS, 0),
        "cell_uuid": "a",
        "revision": "0001",
        "batch": number,
        "after_id": 10 * number - 10,
        "upto_id": 10 * number,
        "rows_read": 3,
        "mapped": 2,
        "started_at": at,
        "seconds": 0.5,
        "stamp": at,
        "above_id": 0,
        "paused": 0.0,
        "pause_reason": "",
        "pause_option": "",
        "runner": "host:1",
        "cell_database": "db",
    }
    with api.engine.begin() as connection:
        connection.execute(journal.insert().values({**usual, **changes}))


def test_batches_of_a_process_are_one_run(api: Database) -> None:
    for number in (2, 3, 4):
        add(api, number)

    [found] = of_cells(api)["a"].runs

    assert (found.batches, found.rows, found.busy) == (3, 9, 1.5)
    assert (found.after_id, found.upto_id) == (10, 40)
    assert (found.last_batch - found.began).total_seconds() == 2
    assert (+found.counts, found.rewound) == (Counter(mapped=6), False)


def test_runs_of_each_cell_are_in_the_order_of_their_last_batches(
    api: Database,
) -> None:
    add(api, 1, runner="host:1")
    add(api, 2, runner="host:2")
    add(api, 3, runner="host:1")
    add(api, 3, cell_uuid="b", runner="host:3")
    add(api, 4, cell_uuid="b", revision="0002", runner="host:3")

    found = of_cells(api)

    runs = {cell: [(r.revision, r.runner) for r in found[cell].runs] for cell in found}
    assert runs == {
        "a": [("0001", "host:2"), ("0001", "host:1")],
        "b": [("0001", "host:3"), ("0002", "host:3")],
    }


def test_pauses_are_added_up_by_the_option_that_caused_them(api: Database) -> None:
    lag = "replica db2 is {} s behind"
    for number in (2, 3):
        words = lag.format(number)
        add(api, number, paused=1.5, pause_reason=words, pause_option="replicas")
    add(api, 4, paused=0.5, pause_reason="sleep_ratio", pause_option="sleep_ratio")
    add(api, 5)
    add(api, 1, cell_uuid="b", paused=4.0, pause_reason="sleep_ratio")

    found = of_cells(api)

    assert found["a"].paused == {"replicas": 3.0, "sleep_ratio": 0.5}
    # An older version of this package recorded no option.
    assert found["b"].paused == {"unknown": 4.0}
    assert (found["a"].busy, found["b"].busy) == (2.0, 0.5)


@pytest.mark.parametrize(
    ("changes", "rewound"),
    [
        pytest.param({"after_id": 10, "upto_id": 0}, True, id="back to the start"),
        pytest.param({"after_id": 1, "upto_id": 0}, True, id="back by one id"),
        pytest.param({"after_id": 0, "upto_id": 0}, False, id="at the start"),
        pytest.param({"after_id": 10, "upto_id": 10}, False, id="stays"),
        pytest.param({"after_id": 10, "upto_id": 1}, False, id="up to id 1"),
    ],
)
def test_run_is_rewound_if_its_last_batch_goes_back_to_the_start(
    api: Database, changes: dict[str, int], *, rewound: bool
) -> None:
    add(api, 1)
    add(api, 2, **changes)

    assert of_cells(api)["a"].runs[0].rewound is rewound


def test_run_that_was_rewound_twice_is_rewound(api: Database) -> None:
    add(api, 1, after_id=10, upto_id=0)
    add(api, 2, after_id=10, upto_id=0)

    assert of_cells(api)["a"].runs[0].rewound


def test_run_that_walks_again_is_not_rewound(api: Database) -> None:
    add(api, 1, after_id=10, upto_id=0)
    add(api, 2)

    assert not of_cells(api)["a"].runs[0].rewound


def test_journal_of_a_cell_has_its_batches_in_order(api: Database) -> None:
    add(api, 3, revision="0002")
    add(api, 2)
    add(api, 1)
    add(api, 4, cell_uuid="b")

    found = batches(api, "a")

    assert [(entry["revision"], entry["batch"]) for entry in found] == [
        ("0001", 1),
        ("0001", 2),
        ("0002", 3),
    ]


def test_journal_that_does_not_exist_is_empty(cloud: Cloud) -> None:
    with opened(cloud, cloud.add_cell("cell1")) as inside:
        assert (batches(inside.api, "a"), of_cells(inside.api)) == ([], {})
