"""Let a run pause: cause and remove the reason from within the run."""

from collections.abc import Callable

import pytest

from cellmap_migrations.cell.throttle import Throttle
from cellmap_migrations.testing.process import Extra, Finished
from tests.harness.books import HEAD
from tests.harness.cloud import Cloud
from tests.harness.inside import alembic_inside
from tests.harness.waiting import wait_for

Act = Callable[[], object]


def upgrade_with_pauses(
    cloud: Cloud,
    *,
    mend: Act,
    cause: Act = lambda: None,
    x: Extra,
) -> Finished:
    """Upgrade the cloud's first cell in batches of ten rows, with pauses.

    *mend* is called when the run begins to pause. If it does not pause at the start,
    *cause* is called after the first batch, and the signals are queried again.
    """
    pauses, rests = 0, 0
    pause, rest = Throttle.pause, Throttle.rest

    def pausing(throttle: Throttle, *drain: Act) -> None:
        nonlocal pauses
        pauses += 1
        if pauses == 2 and not rests:
            cause()
            wait_for(lambda: throttle.clock() >= throttle.next_look, "the next look")
        pause(throttle, *drain)

    def resting(throttle: Throttle, seconds: float, why: str) -> None:
        nonlocal rests
        rests += 1
        if rests == 1:
            mend()
        rest(throttle, seconds, why)

    options = {"batch_rows_min": "10", "batch_rows_max": "10", "max_pause": "600"}
    # Causes are transactions of others, and the run would pause for them, too.
    options["max_slowdown"] = "none"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Throttle, "pause", pausing)
        patch.setattr(Throttle, "rest", resting)
        finished = alembic_inside(
            cloud, "upgrade", "head", cell="cell1", x={**options, **x}
        )
    assert rests, f"it did not pause: {finished}"
    return finished


def reasons(cloud: Cloud) -> dict[int, str]:
    """Return the reasons of the pauses, by the number of the next batch of 0001."""
    return {
        batch["batch"]: batch["pause_reason"]
        for batch in cloud.journal(cloud.cells[0])
        if batch["pause_reason"]
    }


def assert_done(cloud: Cloud, finished: Finished) -> None:
    """Assert that the run has copied all rows."""
    [cell] = cloud.cells
    assert (finished.code, finished.err) == (0, "")
    assert cloud.mapped_uuids(cell) == set(cell.uuids())
    assert cloud.versions() == {cell.uuid: HEAD}
