"""Rates and states are computed from the times of the batches."""

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from cellmap_migrations.bookkeeping.history import LATELY, History, Run
from cellmap_migrations.testing.rows import LONG_AGO


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
