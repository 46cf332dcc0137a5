"""An operator pauses a run that is under way, changes its options, and resumes it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from cellmap_migrations.bookkeeping.requests import DEFAULT, RESUME, Request
from cellmap_migrations.cell.cell import Cell
from cellmap_migrations.cell.control import Control
from cellmap_migrations.cell.throttle import EVERY, Throttle
from cellmap_migrations.common.stopping import Stopping
from cellmap_migrations.testing.process import Finished
from cellmap_migrations.testing.rows import LONG_AGO
from tests.conftest import MakeCloud
from tests.harness import pausing
from tests.harness.cloud import Cloud
from tests.harness.inside import last_line, opened, upgrade
from tests.harness.requests import (
    WHO,
    WHY,
    ask,
    pause,
    record,
    request,
    setting,
)

ROWS = 60


def test_run_is_paused_slowed_and_resumed_by_other_processes(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.add_instances(ROWS)
    seen: list[str] = []

    def ask_apart(command: str, *arguments: str) -> str:
        finished = cloud.cellmap(command, "--cell", "cell1", *arguments)
        assert (finished.code, finished.err) == (0, "")
        return finished.out

    def while_it_pauses() -> None:
        seen.append(ask_apart("status", "--output", "json"))
        ask_apart("set", "sleep_ratio=0.5", "writers=1")
        ask_apart("resume")

    finished = pausing.upgrade_with_pauses(
        cloud,
        cause=lambda: ask_apart("pause", "--why", WHY),
        mend=while_it_pauses,
        x={},
    )

    [paused] = json.loads(seen[0])["cells"]
    first, second, *others = cloud.journal(cell)
    by = paused["pause"]["requested_by"]
    assert_done(cloud, finished)
    assert (paused["state"], paused["pause"]["why"]) == ("paused", WHY)
    assert first["pause_reason"] == ""
    assert second["pause_reason"] == f"requested by {by}: {WHY}"
    assert second["paused"] >= 1
    assert {batch["pause_reason"] for batch in others} == {"sleep_ratio"}
    assert len(others) == ROWS // 10 - 2
    assert [line.split(",")[0] for line in told(finished)] == [
        f"cell cell1 ({cell.uuid}): sleep_ratio=0.5",
        f"cell cell1 ({cell.uuid}): writers=1",
    ]


def told(finished: Finished) -> list[str]:
    """Return the lines about requests. A slow run also prints its progress."""
    return [line for line in finished.err.splitlines() if line.startswith("cell ")]


def assert_done(cloud: Cloud, finished: Finished) -> None:
    """Assert that the run has copied all rows, whatever it said of requests."""
    quiet = Finished(code=finished.code, out=finished.out, err="")
    pausing.assert_done(cloud, quiet)


def test_run_that_begins_during_a_pause_pauses_before_its_first_batch(
    cloud: Cloud,
) -> None:
    cloud.add_cell("cell1").add_instances(20)
    ask(cloud, "pause", "--why", WHY)

    finished = pausing.upgrade_with_pauses(
        cloud,
        mend=lambda: ask(cloud, "resume"),
        # It is for other pauses.
        x={"max_pause": "0"},
    )

    assert_done(cloud, finished)
    assert [*pausing.reasons(cloud)] == [1]


def test_pause_that_was_forgotten_ends_by_itself(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = cloud.add_cell("cell1")
    cell.add_instances(20)
    cloud.configure(cellmap={"max_pause": 600})
    ask(cloud, "pause", "--why", WHY)

    finished = pausing.upgrade_with_pauses(
        cloud,
        mend=partial(monkeypatch.setattr, Request, "until", LONG_AGO),
        x={},
    )

    assert_done(cloud, finished)
    [reason] = pausing.reasons(cloud).values()
    [line] = told(finished)
    assert line.startswith(f"cell cell1 ({cell.uuid}): the pause {reason} ended by")
    assert line.endswith(" itself after 600 s (max_pause); the run goes on")


def test_settings_hold_for_later_runs_until_they_are_taken_back(cloud: Cloud) -> None:
    cell = cloud.add_cell("cell1")
    cell.add_instances(30)
    small = {"batch_rows_min": "10", "batch_rows_max": "10"}
    ask(cloud, "set", "sleep_ratio=0.5", "--why", WHY)

    first = upgrade(cloud, max_rows="20", sleep_ratio="0", **small)
    ask(cloud, "set", f"sleep_ratio={DEFAULT}")
    second = upgrade(cloud, **small)

    by = cloud.rows("cellmap_control")[0]["requested_by"]
    assert (first.code, second.code, told(second)) == (75, 0, [])
    assert told(first) == [
        f"cell cell1 ({cell.uuid}): sleep_ratio=0.5, requested by {by}: {WHY}"
    ]
    assert [batch["pause_reason"] for batch in cloud.journal(cell)] == [
        *("", "sleep_ratio", "")
    ]


@pytest.fixture
def inside(cloud: Cloud) -> Iterator[Cell]:
    """Give the cell to a version script."""
    with opened(cloud, cloud.add_cell("cell1")) as inside:
        yield inside


def test_pause_is_heeded_as_long_as_it_is_in_force(
    inside: Cell, capfd: pytest.CaptureFixture[str]
) -> None:
    now = LONG_AGO
    control = Control(inside.api, inside.mapping, inside.settings, now=lambda: now)
    record(inside, pause(seconds=60))

    found = []
    for seconds in (0, 59, 60, 61):
        now = LONG_AGO + timedelta(seconds=seconds)
        found.append(control.pause_reason())

    reason = f"requested by {WHO}: {WHY}"
    assert found == [reason, reason, None, None]
    assert capfd.readouterr().err.count("ended by itself after 60 s") == 1


def test_pause_that_was_over_before_the_run_began_is_not_spoken_of(
    inside: Cell, capfd: pytest.CaptureFixture[str]
) -> None:
    record(inside, pause(seconds=60))

    assert inside.control.pause_reason() is None
    assert capfd.readouterr().err == ""


def test_pause_can_be_made_longer_and_ends_with_resume(
    inside: Cell, capfd: pytest.CaptureFixture[str]
) -> None:
    now = LONG_AGO + timedelta(seconds=90)
    control = Control(inside.api, inside.mapping, inside.settings, now=lambda: now)
    longer = LONG_AGO + timedelta(seconds=40)
    record(inside, pause(seconds=60), pause(seconds=60, at=longer))

    paused = control.pause_reason()
    record(inside, request(RESUME))
    resumed = control.pause_reason()

    assert (paused, resumed) == (f"requested by {WHO}: {WHY}", None)
    assert capfd.readouterr().err == ""


def test_run_goes_on_while_the_requests_cannot_be_read(
    cloud: Cloud, inside: Cell
) -> None:
    record(inside, setting("writers", "1"))
    inside.control.look()
    record(inside, setting("writers", "3"))

    with cloud.engine.connect() as connection:
        connection.exec_driver_sql("BEGIN EXCLUSIVE")
        inside.control.look()
        locked = inside.control.settings.writers
    inside.control.look()

    assert (locked, inside.control.settings.writers) == (1, 3)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("max_lag", "5", "set max_lag and replicas together"),
        ("writers", "many", "write a whole number, at least 1, at most 8"),
        ("of_later_versions", "5", "of_later_versions cannot be set"),
    ],
)
def test_setting_that_a_run_cannot_use_is_said_and_left_out(
    inside: Cell, capfd: pytest.CaptureFixture[str], name: str, value: str, says: str
) -> None:
    record(inside, setting(name, value), setting("sleep_ratio", "2"))

    inside.control.look()

    said = capfd.readouterr().err.splitlines()
    assert inside.control.settings.sleep_ratio == 2
    [refused] = [line for line in said if says in line]
    assert refused.endswith(f"(requested by {WHO}: {WHY})")
    assert len(said) == 2


def test_setting_that_is_taken_back_is_the_runs_own_again(
    inside: Cell, capfd: pytest.CaptureFixture[str]
) -> None:
    record(inside, setting("writers", "8"))
    inside.control.look()
    record(inside, setting("writers", DEFAULT))

    inside.control.look()

    assert inside.control.settings == inside.settings
    assert capfd.readouterr().err.splitlines()[1].endswith(": writers is 2 again")


@pytest.mark.only_on("postgresql")
def test_limit_of_threads_that_cannot_be_measured_pauses_the_run(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cloud.add_cell("cell1").add_instances(30)
    # Other tests on this server grant it.
    with cloud.server("postgresql").admin().connect() as connection:
        connection.exec_driver_sql("REVOKE pg_monitor FROM nova")

    finished = pausing.upgrade_with_pauses(
        cloud,
        cause=lambda: ask(cloud, "set", "max_threads_running=9"),
        mend=lambda: ask(cloud, "set", f"max_threads_running={DEFAULT}"),
        x={},
    )

    assert_done(cloud, finished)
    [reason] = pausing.reasons(cloud).values()
    assert "max_threads_running cannot be measured" in reason


def test_setting_in_force_is_checked_before_the_first_write(cloud: Cloud) -> None:
    cloud.add_cell("cell1").add_instances(3)
    ask(cloud, "set", "max_threads_running=9")

    finished = upgrade(cloud)

    assert finished.code == 78
    assert "max_threads_running=9 cannot be used" in last_line(finished)
    assert cloud.mappings() == {}


def test_long_sleep_ends_when_an_operator_changes_the_ratio(
    inside: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds, rests = 0.0, []

    def rest(_: Throttle, long: float, __: str) -> None:
        nonlocal seconds
        seconds += long
        rests.append(long)
        if len(rests) == 3:
            record(inside, setting("sleep_ratio", "0"))

    monkeypatch.setattr(Throttle, "rest", rest)
    record(inside, setting("sleep_ratio", "100"))
    throttle = Throttle(
        control=inside.control,
        api=replace(inside.api, stopping=Stopping(clock=lambda: seconds)),
        slowdown=inside.throttle.slowdown,
        keep_alive=lambda: None,
        show=lambda _: None,
    )
    throttle.pause()
    seconds += 2.0

    throttle.pause()

    assert rests == [EVERY] * 3
