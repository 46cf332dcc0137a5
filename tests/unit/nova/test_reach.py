"""``status`` says of each cell whether its database answers, and if not, why."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from cellmap_migrations.cli.status import WORDS
from cellmap_migrations.nova import cells as nova_cells
from cellmap_migrations.testing.config import text
from cellmap_migrations.testing.servers.daemon import free_port
from tests.conftest import MakeCloud
from tests.harness import readme
from tests.harness.cloud import Cloud
from tests.harness.inside import cellmap_inside
from tests.harness.silence import point_to, silent_port


def status(cloud: Cloud) -> dict[str, Any]:
    """Return what ``status`` says of each cell, by name."""
    finished = cellmap_inside(cloud, "status", "--output", "json")
    assert (finished.code, finished.err) == (0, "")
    return {cell["name"]: cell for cell in json.loads(finished.out)["cells"]}


def column(cloud: Cloud) -> dict[str, str]:
    """Return the words of the table's column DATABASE, by the name of the cell."""
    heading, *lines = cellmap_inside(cloud, "status").out.splitlines()
    place = slice(heading.index("DATABASE"), heading.index("BATCHES"))
    return {line.split()[0]: line[place].strip() for line in lines}


@pytest.mark.only_on("mysql", "postgresql")
def test_table_says_why_a_cell_is_not_reachable(
    make_cloud: MakeCloud, backend: str
) -> None:
    cloud = make_cloud()
    names = ("right", "gone", "login", "right-less", "elsewhere", "null", "empty")
    cells = {name: cloud.add_cell(name) for name in names}
    server = cloud.server(backend)
    stranger = server.readonly(cells["right"].url).username
    moved = {
        "gone": cells["gone"].url.set(port=free_port()),
        "login": cells["login"].url.set(password="xyzzy-wrong-plugh"),
        "right-less": cells["right-less"].url.set(username=stranger),
        "elsewhere": cells["elsewhere"].url.set(database="nosuch"),
        "null": None,
        "empty": cloud.create_database("empty", backend, sa.MetaData()),
    }
    for name, url in moved.items():
        cloud.lead(cells[name], url and text(url))

    # To a user without any right on it, MariaDB does not say that there is none.
    unknown = "no right" if backend == "mysql" else "misconfigured"
    assert column(cloud) == {
        "right": "answers",
        "gone": "no answer",
        "login": "login refused",
        "right-less": "no right",
        "elsewhere": unknown,
        "null": "misconfigured",
        "empty": "misconfigured",
    }


def test_json_has_the_reason(cloud: Cloud) -> None:
    cloud.add_cell("right")
    cloud.add_cell("null", connection=None)

    found = status(cloud)

    assert (found["right"]["reachable"], found["right"]["reason"]) == (True, "")
    assert (found["null"]["reachable"], found["null"]["answer"]) == (
        *(False, "misconfigured"),
    )
    assert "its database_connection is NULL" in found["null"]["reason"]


@pytest.mark.only_on("mysql", "postgresql")
def test_cell_that_says_nothing_is_not_waited_for(
    make_cloud: MakeCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = make_cloud()
    cell, silent = cloud.add_cell("cell1"), cloud.add_cell("silent")
    monkeypatch.setattr(nova_cells, "ANSWER_SECONDS", 1.9)

    with silent_port() as listener:
        point_to(cloud, silent, listener.getsockname()[1])
        found = status(cloud)

    assert found["silent"]["answer"] == "no answer"
    assert "not reached within 1.9 s" in found["silent"]["reason"]
    assert (found["cell1"]["cell"], found["cell1"]["answer"]) == (cell.uuid, "answers")


@pytest.fixture
def connections() -> Iterator[list[object]]:
    """Collect the connections that are made."""
    made: list[object] = []

    def add(connection: object, _: object) -> None:
        made.append(connection)

    sa.event.listen(sa.pool.Pool, "connect", add)
    yield made
    sa.event.remove(sa.pool.Pool, "connect", add)


# Of SQLite's files no connection is kept.
@pytest.mark.only_on("mysql", "postgresql")
def test_each_cell_costs_one_connection(
    make_cloud: MakeCloud, connections: list[object]
) -> None:
    cloud = make_cloud()
    for number in range(3):
        cloud.add_cell(f"cell{number}")
    connections.clear()

    cellmap_inside(cloud, "cells")
    to_the_api = len(connections)
    cellmap_inside(cloud, "status")

    assert len(connections) == 2 * to_the_api + 3


def test_page_explains_every_answer() -> None:
    explained = readme.table("answer", readme.DOCS / "fleets.rst")

    assert list(explained) == ["answers", *(words for _, words in WORDS)]
