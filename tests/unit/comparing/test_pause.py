"""A pause takes effect between two statements of the comparison of an upgrade."""

import os
from collections.abc import Callable
from signal import SIGTERM
from threading import Event

import pytest

from cellmap_migrations.cell.throttle import Throttle
from cellmap_migrations.comparing import checksums
from cellmap_migrations.comparing.gate import Gate
from cellmap_migrations.testing.process import Finished
from tests.conftest import MakeCloud
from tests.harness.books import HEAD
from tests.harness.cloud import Cloud
from tests.harness.inside import alembic_inside, cellmap_inside
from tests.harness.requests import WHY, ask
from tests.harness.waiting import SECONDS, wait_for

# The comparison reads ten rows in a statement.
ROWS = 100


@pytest.fixture
def cloud_of_one(make_cloud: MakeCloud, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """A cloud with a cell whose comparison takes many statements."""
    for name, value in {
        "FIRST_RANGE": 10,
        "FEWEST": 10,
        "STATEMENT_SECONDS": 0,
    }.items():
        monkeypatch.setattr(checksums, name, value)
    cloud = make_cloud()
    cloud.add_cell("cell1").add_instances(ROWS)
    return cloud


def upgrade(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, while_it_pauses: Callable[[], object]
) -> tuple[Finished, list[Gate], list[str]]:
    """Upgrade with a pause that is requested when the comparison begins.

    *while_it_pauses* is called when both of its threads wait. Return how the upgrade
    ended, the gates at which a thread waits now, and the reasons of the pauses.
    """
    waiting: list[Gate] = []
    reasons: list[str] = []
    first, rests = iter([True]), Event()
    check, rest = Gate.check, Throttle.rest

    def checking(gate: Gate) -> None:
        if next(first, False):
            cloud.cellmap("pause", "--cell", "cell1", "--why", WHY)
        assert rests.wait(SECONDS), "no pause"
        waiting.append(gate)
        try:
            check(gate)
        finally:
            waiting.remove(gate)

    def resting(throttle: Throttle, seconds: float, why: str) -> None:
        if not reasons:
            rests.set()
            wait_for(lambda: len(waiting) == 2, "two threads that wait")
            while_it_pauses()
        reasons.append(why)
        rest(throttle, seconds, why)

    with monkeypatch.context() as patch:
        patch.setattr(Gate, "check", checking)
        patch.setattr(Throttle, "rest", resting)
        finished = alembic_inside(cloud, "upgrade", "head", cell="cell1")
        return finished, waiting, reasons


@pytest.mark.only_on("mysql", "postgresql")
def test_comparison_waits_for_the_end_of_a_pause(
    cloud_of_one: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud, [cell] = cloud_of_one, cloud_of_one.cells

    finished, _, reasons = upgrade(
        cloud, monkeypatch, while_it_pauses=lambda: ask(cloud, "resume")
    )

    assert finished.code == 0, finished.err
    assert {why.partition(": ")[2] for why in reasons} == {WHY}
    assert cloud.versions() == {cell.uuid: HEAD}


@pytest.mark.only_on("mysql", "postgresql")
def test_signal_ends_a_comparison_that_pauses(
    cloud_of_one: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud, [cell] = cloud_of_one, cloud_of_one.cells

    finished, waiting, _ = upgrade(
        cloud, monkeypatch, while_it_pauses=lambda: os.kill(os.getpid(), SIGTERM)
    )

    assert finished.code == 75
    assert "SIGTERM received" in finished.err
    assert cloud.versions() == {}
    assert cloud.mapped_uuids(cell) == set(cell.uuids())
    wait_for(lambda: waiting == [], "the end of the threads")


def test_command_that_only_reads_is_not_paused(cloud: Cloud) -> None:
    cloud.add_cell("cell1").add_instances(3)
    cellmap_inside(cloud, "upgrade", "--cell", "cell1")
    ask(cloud, "pause")

    assert cellmap_inside(cloud, "check", "--cell", "cell1").code == 0
