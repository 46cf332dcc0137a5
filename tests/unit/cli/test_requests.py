"""``pause``, ``resume`` and ``set`` record requests, and ``status`` shows them."""

import getpass
import json
import os
import socket
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from cellmap_migrations.bookkeeping import requests
from cellmap_migrations.config.options import SETTABLE
from cellmap_migrations.testing.config import text
from cellmap_migrations.testing.process import Finished
from cellmap_migrations.testing.rows import now
from tests.conftest import MakeCloud
from tests.harness.cloud import Cloud
from tests.harness.inside import cellmap_inside, last_line

ME = f"{getpass.getuser()}@{socket.gethostname()}"


@pytest.fixture
def cell1(cloud: Cloud) -> Callable[..., Finished]:
    """Return a function that runs a command for the only cell."""
    cloud.add_cell("cell1").add_instances(30)

    def run(command: str, *arguments: str) -> Finished:
        return cellmap_inside(cloud, command, "--cell", "cell1", *arguments)

    return run


Run = Callable[..., Finished]


def status(run: Run) -> Any:
    """Return the status of the cell."""
    finished = run("status", "--output", "json")
    assert (finished.code, finished.err) == (0, "")
    return json.loads(finished.out)["cells"][0]


def log(cloud: Cloud) -> list[tuple[str, str, str]]:
    """Return the requests of the log in their order."""
    rows = sorted(cloud.rows("cellmap_control"), key=lambda row: row["number"])
    return [(row["action"], row["name"], row["value"]) for row in rows]


def test_each_request_is_kept_with_its_author_time_and_reason(
    cloud: Cloud, cell1: Run
) -> None:
    began = now() - timedelta(seconds=1)

    ended = [
        cell1("pause", "--why", "first \x1b[31m\U0001f600"),
        cell1("set", "writers=1", "batch_seconds=0.2", "--why", "second"),
        cell1("set", "writers=default"),
        cell1("resume"),
    ]

    rows = cloud.rows("cellmap_control")
    assert [each.code for each in ended] == [0] * 4
    assert log(cloud) == [
        ("pause", "max_pause", "3600"),
        ("set", "writers", "1"),
        ("set", "batch_seconds", "0.2"),
        ("set", "writers", "default"),
        ("resume", "", ""),
    ]
    assert {row["requested_by"] for row in rows} == {ME}
    assert all(began <= row["requested_at"] <= now() for row in rows)
    assert [row["why"] for row in rows] == [
        *(r"first \x1b[31m\U0001f600", "second", "second", "", "")
    ]


def test_status_shows_what_is_in_force(cell1: Run) -> None:
    before = status(cell1)
    cell1("pause", "--why", "replica is rebuilt")
    cell1("set", "writers=1")

    during = status(cell1)
    table = cell1("status").out.splitlines()
    cell1("resume")
    after = status(cell1)

    pause, writers = during["pause"], during["settings"]["writers"]
    assert (before["state"], before["pause"], before["settings"]) == (
        *("behind", None, {}),
    )
    assert (during["state"], pause["why"]) == ("paused", "replica is rebuilt")
    assert (writers["value"], writers["requested_by"]) == ("1", ME)
    began, since = pause["requested_at"], writers["requested_at"]
    assert table[2].startswith(f"cell1: paused until {pause['until']}, ")
    assert table[2].endswith(f", requested by {ME} at {began}: replica is rebuilt")
    assert table[3:] == [f"cell1: writers=1, requested by {ME} at {since}"]
    assert (after["state"], after["pause"]) == ("behind", None)
    assert [*after["settings"]] == ["writers"]


def test_complete_cell_stays_complete_during_a_pause(cell1: Run) -> None:
    cell1("upgrade")
    cell1("pause")

    found = status(cell1)

    assert (found["state"], found["pause"]["requested_by"]) == ("complete", ME)


def test_command_says_whether_a_run_seems_to_be_under_way(cell1: Run) -> None:
    idle = cell1("pause", "--output", "json"), cell1("pause")
    cell1("resume")
    cell1("upgrade", "--max-rows", "10")
    active = cell1("pause", "--output", "json"), cell1("pause")

    said = [json.loads(each.out)["cells"][0]["active"] for each, _ in (idle, active)]
    assert said == [False, True]
    assert "no batch was committed in the last 60 s" in idle[1].out
    assert "seems to be under way heeds this" in active[1].out


def test_request_for_all_cells_is_recorded_for_each(cloud: Cloud, cell1: Run) -> None:
    other = cloud.add_cell(None)

    finished = cellmap_inside(cloud, "pause", "--cell", "all", "--output", "json")

    assert (finished.code, cell1("resume").code) == (0, 0)
    assert [each["cell"] for each in json.loads(finished.out)["cells"]] == [
        each.uuid for each in cloud.cells
    ]
    found = json.loads(cellmap_inside(cloud, "status", "--output", "json").out)
    paused = [each["cell"] for each in found["cells"] if each["pause"]]
    assert paused == [other.uuid]


def test_max_pause_that_was_set_is_that_of_the_next_pause(
    cloud: Cloud, cell1: Run
) -> None:
    cell1("set", "max_pause=7200")
    cell1("pause")
    cell1("set", "max_pause=inf")
    cell1("pause")

    assert [value for action, _, value in log(cloud) if action == "pause"] == [
        *("7200", str(366 * 24 * 3600))
    ]


SET = "cannot be set while a run is under way; these options can: "


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["set", "grace_seconds=1"], f"grace_seconds {SET}{', '.join(SETTABLE)}. "),
        (["set", "nonsense=1"], f"nonsense {SET}"),
        (["set", "writers=9"], "writers=9 cannot be used: write a whole number, at"),
        (["set", "writers=1.5"], "write a whole number, at least 1, at most 8"),
        (["set", "batch_seconds=nan"], "it is not a number"),
        (["set", "batch_seconds= "], "it is empty"),
        (["set", "batch_seconds"], "it is empty"),
        (["set", "writers=1", "sleep_ratio=-1"], "sleep_ratio=-1 cannot be used"),
        (["set", "pa:/ss@word?=1"], f"*** {SET}"),
        (["pause", "--why", "x" * 256], "write at most 255 characters"),
    ],
)
def test_request_that_no_run_could_heed_is_refused(
    cloud: Cloud, cell1: Run, arguments: list[str], says: str
) -> None:
    ended = cell1(*arguments)
    as_json = cell1(*arguments, "--output", "json")

    assert (ended.code, as_json.code) == (78, 78)
    assert says in last_line(ended)
    assert json.loads(as_json.out)["reason"] in as_json.err
    assert cloud.our_tables() == set()


def test_pause_that_would_end_at_once_is_refused(cloud: Cloud, cell1: Run) -> None:
    cloud.configure(cellmap={"max_pause": 0})

    ended = cell1("pause")

    assert ended.code == 78
    assert "max_pause=0 cannot be used" in last_line(ended)
    assert cloud.our_tables() == set()


def test_request_without_a_cell_is_refused(cloud: Cloud, cell1: Run) -> None:
    del cell1
    ended = [cellmap_inside(cloud, *each) for each in (["pause"], ["set", "writers=1"])]

    assert [each.code for each in ended] == [78, 78]
    assert "no cell was given" in last_line(ended[0])


def test_user_without_a_name_is_known_by_its_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 987654)

    assert requests.requester() == f"987654@{socket.gethostname()}"


@pytest.mark.only_on("mysql", "postgresql")
def test_user_who_may_only_read_cannot_pause_and_sees_the_status(
    make_cloud: MakeCloud, backend: str
) -> None:
    cloud = make_cloud()
    cloud.add_cell("cell1").add_instances(3)
    own = text(cloud.url)

    def as_reader(*arguments: str) -> Finished:
        # On PostgreSQL it may read the tables that there are now.
        reader = cloud.server(backend).readonly(cloud.url)
        cloud.configure(api_database={"connection": text(reader)})
        finished = cellmap_inside(cloud, *arguments)
        cloud.configure(api_database={"connection": own})
        return finished

    early = [as_reader("status"), as_reader("pause", "--cell", "cell1")]
    tables = cloud.our_tables()
    paused = cellmap_inside(cloud, "pause", "--cell", "cell1")
    late = [as_reader("status"), as_reader("resume", "--cell", "cell1")]

    assert tables == set()
    assert paused.code == 0
    assert [each.code for each in (*early, *late)] == [0, 77, 0, 77]
    assert "paused until" in late[0].out
    for refused in (early[1], late[1]):
        assert "docs/privileges.rst" in last_line(refused)
    assert "cellmap_control" in last_line(late[1])


@pytest.mark.only_on("mysql")
def test_run_whose_user_has_no_right_on_the_log_names_the_table(
    make_cloud: MakeCloud, backend: str
) -> None:
    cloud = make_cloud()
    cloud.add_cell("cell1").add_instances(3)
    cellmap_inside(cloud, "pause", "--cell", "cell1")
    reader = cloud.server(backend).readonly(cloud.cells[0].url)
    user = f"`{reader.username}`@'127.0.0.1'"
    with cloud.server(backend).admin().connect() as connection:
        for name in (*cloud.tables, "cellmap_version", "cellmap_journal"):
            connection.exec_driver_sql(
                f"GRANT ALL ON `{cloud.url.database}`.{name} TO {user}"
            )
    mine = cloud.url.set(username=reader.username)
    cloud.configure(api_database={"connection": text(mine)})

    ended = cellmap_inside(cloud, "upgrade", "--cell", "cell1")

    assert ended.code == 77
    assert "cellmap_control" in last_line(ended)
    assert cloud.mappings() == {}
