"""Many cells at a time: each in its process, none in the way of another."""

import json
import os
from pathlib import Path
from signal import SIGCONT, SIGINT, SIGKILL, SIGSTOP, SIGTERM, Signals

import pytest

from cellmap_migrations.testing.process import Running
from tests.conftest import MakeCloud
from tests.harness.books import HEAD, assert_books_balance
from tests.harness.cloud import Cloud
from tests.harness.waiting import wait_for

ALL = ("upgrade", "--cell", "all", "--jobs", "2")


def processes(running: Running) -> list[int]:
    """Return the processes that a command started."""
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children")
    return [int(pid) for pid in children.read_text().split()]


def state(pid: int) -> str:
    """Return the letter of a process's state; Z for one that is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return "Z"
    return stat.rpartition(")")[2].split()[0]


def alive(pid: int) -> bool:
    """Say whether a process runs; one that nobody waits for stays as a zombie."""
    return state(pid) != "Z"


def frozen(cloud: Cloud) -> tuple[Running, list[int]]:
    """Start on all cells; return that, and two workers, frozen after a batch each."""
    running = cloud.start_cellmap_until("after COMMIT #1", SIGSTOP, *ALL, patient=True)
    wait_for(
        lambda: [*map(state, processes(running))] == ["T", "T"],
        "two workers with a batch each",
    )
    return running, processes(running)


def signal(pids: list[int], number: Signals) -> None:
    """Send a signal to each of some processes."""
    for pid in pids:
        os.kill(pid, number)


@pytest.fixture
def fleet(make_cloud: MakeCloud) -> Cloud:
    """A cloud with three cells of many batches."""
    cloud = make_cloud()
    cloud.add_fleet(300)
    return cloud


def test_every_cell_is_mapped_and_has_its_line(cloud: Cloud) -> None:
    cells = [cloud.add_cell(name) for name in ("cell1", "cell2", None)]
    uuids = [set(cell.add_instances(3)) for cell in cells]

    finished = cloud.cellmap(*ALL)

    heading, *lines = finished.out.splitlines()
    assert (finished.code, finished.err) == (0, "")
    assert heading.split() == [
        *("CELL", "REVISION", "OUTCOMES", "SECONDS", "EXIT", "CODE")
    ]
    assert [line.split()[0] for line in lines] == ["cell1", "cell2", cells[2].uuid]
    assert all("0003" in line and "3 mapped" in line for line in lines)
    assert [cloud.mapped_uuids(cell) for cell in cells] == uuids


def test_cell_that_fails_leaves_the_others_alone(cloud: Cloud) -> None:
    good = cloud.add_cell("good")
    uuids = good.add_instances(3)
    broken = cloud.add_cell("broken", connection="no url")
    rejected = cloud.add_cell("rejected")
    rejected.add_instance(project_id=None)

    finished = cloud.cellmap(*ALL, "--output", "json")

    [line] = finished.out.splitlines()
    result = json.loads(line)
    assert (finished.code, result["exit_code"], result["complete"]) == (78, 78, False)
    assert [(cell["cell"], cell["exit_code"]) for cell in result["cells"]] == [
        *((good.uuid, 0), (broken.uuid, 78), (rejected.uuid, 65))
    ]
    assert "broken" in finished.err.splitlines()[-1]
    assert cloud.mapped_uuids(good) == set(uuids)
    assert cloud.versions() == {good.uuid: HEAD}


def test_cell_that_is_complete_is_not_opened(cloud: Cloud) -> None:
    done, behind = cloud.add_cell("done"), cloud.add_cell("behind")
    cloud.alembic("upgrade", "head", cell="done")
    done.add_instances(1)
    Path(str(done.url.database)).rename(f"{done.url.database}.away")

    finished = cloud.cellmap(*ALL)

    _, line = finished.out.splitlines()
    assert (finished.code, line.split()[0]) == (0, "behind")
    assert finished.err == "1 of 2 cells have nothing left to do\n"
    assert cloud.versions() == {done.uuid: HEAD, behind.uuid: HEAD}
    assert not Path(str(done.url.database)).exists()


def test_nothing_to_do_leaves_stdout_empty(cloud: Cloud) -> None:
    cells = [cloud.add_cell(name) for name in ("cell1", "cell2")]
    cloud.cellmap(*ALL)

    text = cloud.cellmap(*ALL)
    result = json.loads(cloud.cellmap(*ALL, "--output", "json").out)

    assert (text.code, text.out) == (0, "")
    assert [cell["cell"] for cell in result["cells"]] == [cell.uuid for cell in cells]
    assert (result["complete"], result["exit_code"]) == (True, 0)


def told_to_stop(pid: int) -> bool:
    """Say whether a frozen process will find a SIGTERM when it is thawed."""
    status = Path(f"/proc/{pid}/status").read_text()
    waiting = int(status.partition("ShdPnd:")[2].split()[0], 16)
    return bool(waiting & 1 << SIGTERM - 1)


@pytest.mark.only_on("mysql", "postgresql")
@pytest.mark.parametrize("number", [SIGTERM, SIGINT])
def test_signal_stops_all_cells(fleet: Cloud, number: Signals) -> None:
    running, workers = frozen(fleet)
    running.signal(number)
    wait_for(lambda: all(map(told_to_stop, workers)), "a signal for each worker")
    signal(workers, SIGCONT)
    finished = running.wait()

    assert not any(alive(pid) for pid in workers)
    assert finished.code == 75
    assert f"stopped: {number.name} received" in finished.err
    assert [len(fleet.mapped_uuids(cell)) > 0 for cell in fleet.cells] == [
        *(True, True, False)
    ]
    assert fleet.versions() == {}
    for cell in fleet.cells:
        assert_books_balance(fleet, cell)


@pytest.mark.only_on("mysql")
def test_signal_while_the_server_does_not_answer(fleet: Cloud) -> None:
    running, workers = frozen(fleet)
    server = fleet.server(fleet.url.get_backend_name())
    server.freeze()
    try:
        signal(workers, SIGCONT)
        running.signal(SIGTERM)
        finished = running.wait()
    finally:
        server.thaw()

    assert finished.code == 75
    assert "SIGTERM" in finished.err


@pytest.mark.only_on("postgresql")
def test_killed_worker_costs_its_own_cell_only(fleet: Cloud) -> None:
    running, [victim, other] = frozen(fleet)
    os.kill(victim, SIGKILL)
    os.kill(other, SIGCONT)
    wait_for(lambda: [*map(state, processes(running))].count("T") == 1, "third cell")
    signal(processes(running), SIGCONT)
    first = running.wait()
    second = fleet.cellmap(*ALL)

    assert (first.code, second.code) == (75, 0)
    assert first.err.count("its process was killed (SIGKILL)") == 1
    assert first.out.count(" 0003 ") == 2
    assert set(fleet.versions()) == {cell.uuid for cell in fleet.cells}
    for cell in fleet.cells:
        assert_books_balance(fleet, cell)


@pytest.mark.only_on("mysql")
def test_workers_end_when_their_parent_is_killed(fleet: Cloud) -> None:
    running, workers = frozen(fleet)

    running.kill9()
    signal(workers, SIGCONT)

    wait_for(lambda: not any(alive(pid) for pid in workers), "the end of the workers")
    assert fleet.versions() == {}
