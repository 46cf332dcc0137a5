"""Each database is asked once in a run which one it is, however many there are."""

import os
import pickle
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Barrier, Event
from typing import Any
from unittest.mock import Mock

import pytest

from cellmap_migrations.cli import processes
from cellmap_migrations.common.errors import CellmapError, Unreachable
from cellmap_migrations.common.stopping import Stopping
from cellmap_migrations.databases import connect
from cellmap_migrations.nova import cells as nova_cells
from cellmap_migrations.nova import identities
from cellmap_migrations.nova.cells import CellMapping
from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.config import text
from cellmap_migrations.testing.servers.daemon import free_port
from tests.conftest import MakeCloud
from tests.harness import inside, status
from tests.harness.cloud import Cloud
from tests.harness.inside import cellmap_inside, last_line
from tests.harness.twins import leading_to

CELLS = 5
ALL = ("upgrade", "--cell", "all")


@pytest.fixture(autouse=True)
def one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the databases of all cells have one name, and be as slow as they like."""
    monkeypatch.setattr(identities, "kind_and_name", lambda _: "nova")
    monkeypatch.setattr(nova_cells, "ANSWER_SECONDS", 600.0)


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], set[int]]:
    """Count how often the database of each cell is opened, in any process."""
    path = tmp_path / "opened"
    original = nova_cells.make_cell_database

    def made(mapping: Any, *given: Any) -> Any:
        with path.open("a") as file:
            file.write(f"{mapping.name}\n")
        return original(mapping, *given)

    monkeypatch.setattr(nova_cells, "make_cell_database", made)

    def counted() -> set[int]:
        counts = Counter(path.read_text().split())
        assert len(counts) == CELLS
        return set(counts.values())

    return counted


@pytest.fixture
def fleet(make_cloud: MakeCloud) -> Cloud:
    """A cloud with some cells of one instance."""
    cloud = make_cloud()
    for number in range(CELLS):
        cloud.add_cell(f"cell{number}").add_instance()
    return cloud


@pytest.fixture
def cell(make_cloud: MakeCloud) -> Cell:
    """A cell with some instances, which gets a twin."""
    cell = make_cloud().add_cell("cell1")
    cell.add_instances(3)
    return cell


def refused(cell: Cell) -> None:
    """Upgrade the cell and its twin, of which none may be mapped."""
    cloud = cell.api
    assert isinstance(cloud, Cloud)
    with leading_to(cell) as url:
        cloud.add_cell("twin", database=cell, connection=url)
        finished = cellmap_inside(cloud, *ALL)
    assert finished.code == 78
    assert "resolve to one database" in last_line(finished)
    assert cloud.mappings() == {}


@pytest.mark.parametrize(
    "options",
    [(), ("--jobs", "2"), ("--canary", "cell1")],
    ids=["one by one", "two at a time", "canary"],
)
def test_fleet_asks_each_database_once_and_opens_it_once(
    fleet: Cloud, opened: Callable[[], set[int]], options: tuple[str, ...]
) -> None:
    finished = cellmap_inside(fleet, *ALL, *options)

    assert (finished.code, finished.err) == (0, "")
    assert opened() == {2}


def test_upgrade_check_asks_each_database_once_and_opens_it_once(
    fleet: Cloud, opened: Callable[[], set[int]]
) -> None:
    status.check(fleet)

    assert opened() == {2}


def test_status_opens_the_database_of_an_upgraded_cell_once(
    fleet: Cloud, opened: Callable[[], set[int]]
) -> None:
    cellmap_inside(fleet, *ALL)
    [before] = opened()

    finished = cellmap_inside(fleet, "status")

    assert (finished.code, finished.err) == (0, "")
    assert opened() == {before + 1}


def test_twins_are_refused_however_much_has_changed_since_they_were_asked(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask_apart = processes.ask_apart

    def and_change(*given: Any) -> None:
        ask_apart(*given)
        cell.add_instances(identities.ROWS + 1)

    monkeypatch.setattr(processes, "ask_apart", and_change)

    refused(cell)


def down(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let the cells of these names be down when all databases are asked."""
    ask_apart = processes.ask_apart
    error = Unreachable("cell", 3.0, "no answer")

    def without(found: identities.Identities, cells: Any) -> None:
        ask_apart(found, cells)
        known = found.known
        known |= {cell: error for cell in known if cell.name in names}

    monkeypatch.setattr(processes, "ask_apart", without)


def test_twins_that_were_down_when_they_were_asked_are_refused(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    down(monkeypatch, "cell1", "twin")

    refused(cell)


def test_twin_that_was_down_long_ago_is_asked_again(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    down(monkeypatch, "twin")
    monkeypatch.setattr(processes, "RECENT", -1.0)

    refused(cell)


def test_cell_that_was_down_a_moment_ago_is_not_asked_again(
    fleet: Cloud, monkeypatch: pytest.MonkeyPatch, opened: Callable[[], set[int]]
) -> None:
    down(monkeypatch, "cell4")
    monkeypatch.setattr(processes, "RECENT", 3600.0)

    finished = cellmap_inside(fleet, "upgrade", "--cell", "cell1", "--cell", "cell2")

    assert finished.code == 0
    assert opened() == {1, 2}


@pytest.mark.parametrize(
    "question",
    [partial(os._exit, 1), partial(int, "xyzzy-secret")],
    ids=["dies", "raises"],
)
def test_process_that_cannot_ask_stops_nothing_and_says_nothing(
    fleet: Cloud,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    question: Callable[[], None],
) -> None:
    parent, ask = os.getpid(), identities.Identities.ask

    def asking(found: identities.Identities, cells: Any, **given: Any) -> Any:
        if len(cells) == CELLS and os.getpid() != parent:
            question()
        return ask(found, cells, **given)

    monkeypatch.setattr(identities.Identities, "ask", asking)

    finished = cellmap_inside(fleet, *ALL)

    assert (finished.code, finished.err) == (0, "")
    assert capfd.readouterr() == ("", "")


@pytest.mark.only_on("mysql", "postgresql")
def test_answers_have_no_password_that_the_cells_do_not_have(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cells = [cloud.add_cell("cell1"), cloud.add_cell("gone")]
    secret = "xyzzy-secret-plugh"
    url = cells[1].url.set(username="nova", password=secret, host="127.0.0.1")
    cloud.lead(cells[1], text(url.set(port=free_port(), database="nosuch")))

    with inside.opened(cloud, cells[0]) as cell:
        processes.ask_apart(cell.identities, cell.identities.mappings)
        answers = cell.identities.known

    assert {found.name for found in answers} == {"cell1", "gone"}
    for found in answers.values():
        assert secret.encode() not in pickle.dumps(found)


def ask_fake(
    monkeypatch: pytest.MonkeyPatch, count: int, ask: Callable[[], str]
) -> dict[int, str | CellmapError]:
    """Ask so many cells what *ask* returns, without any database."""
    monkeypatch.setattr(nova_cells, "make_cell_database", Mock())
    monkeypatch.setattr(connect, "ask_once", lambda *_: ask())
    cells = [
        CellMapping(id=number, uuid=f"uuid-{number}", name=None, connection=None)
        for number in range(count)
    ]
    return nova_cells.ask_each(cells, Mock(), Mock(), Stopping())


def test_hundreds_of_cells_are_asked_at_the_same_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    together = Barrier(300, timeout=600)

    def ask() -> str:
        together.wait()
        return "here"

    assert ask_fake(monkeypatch, 300, ask) == dict.fromkeys(range(300), "here")


def test_all_silent_cells_together_cost_one_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nova_cells, "ANSWER_SECONDS", 0.2)
    over = Event()

    def ask() -> str:
        over.wait()
        return "late"

    answers = ask_fake(monkeypatch, 300, ask)
    over.set()

    told = [str(answer) for answer in answers.values()]
    assert len(told) == 300
    assert all("not reached within 0.2 s" in each for each in told)
