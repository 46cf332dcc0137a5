"""The log of requests keeps each of them, and the last one of a kind is in force."""

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from cellmap_migrations.bookkeeping import requests, tables
from cellmap_migrations.bookkeeping.requests import DEFAULT, RESUME, InForce, Request
from cellmap_migrations.common.errors import CellmapError
from cellmap_migrations.testing.rows import LONG_AGO
from tests.conftest import MakeCloud
from tests.harness.cloud import Cloud
from tests.harness.inside import opened
from tests.harness.requests import pause, record, request, setting

NOW = LONG_AGO + timedelta(seconds=30)


def after(*given: Request) -> InForce:
    """Return what is in force after some requests."""
    known = InForce()
    for number, each in enumerate(given, start=1):
        known = known.after(number, each)
    return known


def test_last_request_of_a_kind_is_in_force() -> None:
    known = after(
        pause(60),
        setting("writers", "1"),
        setting("sleep_ratio", "2"),
        request("of_later_versions"),
        setting("writers", "3"),
        setting("sleep_ratio", DEFAULT),
    )

    assert known.number == 6
    assert known.pause_at(NOW) == pause(60)
    assert known.options == {"writers": setting("writers", "3")}


def test_resume_ends_a_pause_and_no_setting() -> None:
    known = after(setting("writers", "1"), pause(60), request(RESUME))

    assert known.pause_at(NOW) is None
    assert [*known.options] == ["writers"]


@pytest.mark.parametrize(("seconds", "paused"), [(30, False), (31, True)])
def test_pause_is_over_after_its_seconds(seconds: int, *, paused: bool) -> None:
    assert (after(pause(seconds)).pause_at(NOW) is not None) == paused


def test_log_of_each_cell_has_its_own_numbers(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cells = [cloud.add_cell("cell1"), cloud.add_cell("cell2"), cloud.add_cell("cell3")]
    given = [pause(60), setting("writers", "1"), request(RESUME)]

    with opened(cloud, cells[0]) as inside:
        before = requests.of_cells(inside.api)
        record(inside, *given[:2])
        record(inside, given[2])
        api = inside.api
        requests.append(api, cells[1].uuid, [given[0]])
        found = requests.of_cells(api)
        first = requests.read_later(api, cells[0].uuid, InForce())
        later = requests.read_later(api, cells[0].uuid, first)

    rows = cloud.rows("cellmap_control")
    log = sorted((row["number"], row["action"]) for row in rows)
    assert before == {}
    assert found == {cells[0].uuid: after(*given), cells[1].uuid: after(given[0])}
    assert first == later == after(*given)
    assert log == [(1, "pause"), (1, "pause"), (2, "set"), (3, "resume")]


@pytest.mark.only_on("mysql", "postgresql")
def test_operator_whose_number_was_taken_gets_the_next_one(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    others = [setting("writers", "1"), setting("writers", "2")]

    def before(_: Any, __: Any, statement: str, *___: Any) -> None:
        if "INSERT INTO cellmap_control" in statement and others:
            requests.append(other.api, cell.uuid, [others.pop()])

    with opened(cloud, cell) as inside, opened(cloud, cell) as other:
        tables.create_tables(inside.api)
        sa.event.listen(inside.api.engine, "before_cursor_execute", before)
        record(inside, setting("writers", "4"), setting("sleep_ratio", "1"))

    rows = sorted(cloud.rows("cellmap_control"), key=lambda row: row["number"])
    assert [(row["number"], row["value"]) for row in rows] == [
        *((1, "2"), (2, "1"), (3, "4"), (4, "1"))
    ]


def test_request_that_the_database_refuses_is_not_tried_again(cloud: Cloud) -> None:
    with opened(cloud, cloud.add_cell("cell1")) as inside:
        tables.create_tables(inside.api)
        cloud.sql(
            "CREATE TRIGGER refuse BEFORE INSERT ON cellmap_control "
            "BEGIN SELECT RAISE(ABORT, 'SQLite says no'); END"
        )

        with pytest.raises(CellmapError, match="SQLite says no"):
            record(inside, pause(60))
