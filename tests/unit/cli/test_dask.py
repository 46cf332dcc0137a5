"""Cells as tasks of a Dask cluster: a real scheduler, and workers that may die."""

import json
import shutil
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from signal import SIGTERM

import pytest
from distributed import Client

from cellmap_migrations.cli import dask
from cellmap_migrations.common.stopping import Stopping
from cellmap_migrations.testing.process import Running
from cellmap_migrations.testing.servers.base import HOST
from cellmap_migrations.testing.servers.daemon import free_port
from tests.conftest import MakeCloud
from tests.harness.books import HEAD, assert_books_balance, walked
from tests.harness.cloud import HOUR, Cloud
from tests.harness.cluster import Cluster
from tests.harness.inside import cellmap_inside
from tests.harness.proxy import Proxy
from tests.harness.waiting import wait_for

ALL = ("upgrade", "--cell", "all", "--executor", "dask", "--output", "json")


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A scheduler for all tests of this module."""
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    yield made
    made.close()


@pytest.fixture
def cluster(scheduler: Cluster) -> Cluster:
    """Start workers until the scheduler has two."""
    scheduler.have_workers(2)
    return scheduler


@pytest.fixture
def fleet(make_cloud: MakeCloud) -> Cloud:
    """A cloud with three cells of three batches each, most of whose time is sleep.

    The slower the machine, the longer it takes until one of them is done.
    """
    cloud = make_cloud()
    cloud.add_fleet(30)
    cloud.configure(cellmap={"sleep_ratio": 100})
    return cloud


def runners(cloud: Cloud) -> set[str]:
    """Return the processes that committed batches."""
    return {batch["runner"] for cell in cloud.cells for batch in cloud.journal(cell)}


def walking(cloud: Cloud, cluster: Cluster) -> Running:
    """Start on all cells, and return when two workers have committed batches."""
    running = cloud.start_cellmap(*ALL, "--scheduler", cluster.address)
    wait_for(
        lambda: len(runners(cloud)) == 2 or not running.running(),
        "batches of two workers",
    )
    assert running.running(), running.err
    return running


@pytest.mark.only_on("mysql")
def test_cell_of_a_killed_worker_is_finished_by_another(
    fleet: Cloud, cluster: Cluster
) -> None:
    running = walking(fleet, cluster)
    latest = next(cell for cell in fleet.cells if walked(fleet, cell))
    fleet.configure(cellmap={"sleep_ratio": None})
    cluster.worker(walked(fleet, latest)[-1]["runner"]).kill9()
    finished = running.wait()

    [line] = finished.out.splitlines()
    result = json.loads(line)
    assert (finished.code, finished.err) == (0, "")
    assert result["complete"]
    assert [cell["cell"] for cell in result["cells"]] == [
        cell.uuid for cell in fleet.cells
    ]
    assert fleet.versions() == {cell.uuid: HEAD for cell in fleet.cells}
    assert len({batch["runner"] for batch in walked(fleet, latest)}) == 2
    for cell in fleet.cells:
        assert_books_balance(fleet, cell)


@pytest.mark.only_on("mysql")
def test_signal_stops_the_workers_as_well(fleet: Cloud, cluster: Cluster) -> None:
    running = walking(fleet, cluster)
    running.signal(SIGTERM)
    finished = running.wait()
    wait_for(lambda: not fleet.sessions().all(), "the end of the tasks")

    assert finished.code == 75
    assert "stopped: SIGTERM received" in finished.err.splitlines()[-1]
    assert fleet.versions() == {}
    assert min(len(fleet.mapped_uuids(cell)) for cell in fleet.cells) == 0


def test_workers_read_their_own_nova_conf_and_are_sent_no_address(
    cloud: Cloud, cluster: Cluster, tmp_path: Path
) -> None:
    cloud.add_cell("cell1").add_instances(30)
    ours = tmp_path / "home"
    ours.mkdir()
    shutil.copy(cloud.config_file, ours / "nova.conf")
    cloud.configure(cellmap={"batch_rows_min": 10, "batch_rows_max": 10})
    shutil.copy(cloud.config_file, cluster.folder / "nova.conf")
    sent: list[bytes] = []
    proxy = Proxy(int(cluster.address.rpartition(":")[2]), partial(keep, sent))
    command = [*ALL, "--scheduler", f"tcp://{HOST}:{proxy.port}"]

    running = cloud.run(
        "-m", "cellmap_migrations.cli", *command, env={"HOME": str(ours)}
    )
    finished = running.wait()
    proxy.close()

    assert (finished.code, finished.err) == (0, "")
    assert len(walked(cloud, cloud.cells[0])) == 3
    assert cloud.cells[0].uuid.encode() in b"".join(sent)
    assert b"sqlite" not in b"".join(sent)


def keep(sent: list[bytes], data: bytes) -> bool:
    """Keep what a client sends, and cut nothing."""
    sent.append(data)
    return False


def test_limits_of_the_command_hold_on_the_workers(
    cloud: Cloud, cluster: Cluster
) -> None:
    cell = cloud.add_cell("cell1")
    cell.add_instances(3)
    scheduler = ("--scheduler", cluster.address)

    rows = cloud.cellmap(*ALL, *scheduler, "--max-rows", "2")
    mapped = len(cloud.mapped_uuids(cell))
    seconds = cloud.cellmap(*ALL, *scheduler, "--time-limit", "0")

    assert (rows.code, seconds.code, mapped) == (75, 75, 2)
    assert "max_rows" in rows.err
    assert "time limit" in seconds.err
    assert len(cloud.mapped_uuids(cell)) == 2


class Unloadable:
    """An object that can be sent, and raises ValueError where it arrives."""

    def __reduce__(self) -> tuple[type[int], tuple[str]]:
        return int, ("no number",)


def test_result_that_cannot_be_loaded_ends_its_call(cluster: Cluster) -> None:
    with Client(cluster.address, set_as_default=False) as client:
        workers = dask.Cluster(client, cluster.address, Stopping())
        future = workers.submit(Unloadable)

        with pytest.raises(ValueError, match="no number"):
            future.result(timeout=60)


def test_scheduler_that_is_not_there_is_named(cloud: Cloud) -> None:
    cloud.add_cell("cell1")
    cloud.configure(cellmap={"connect_timeout": 1})
    address = f"tcp://{HOST}:{free_port()}"

    finished = cloud.cellmap(*ALL, "--scheduler", address)

    assert finished.code == 75
    assert finished.err.startswith(f"error: Dask scheduler {address} not reached")
    assert len(finished.err.splitlines()) == 1


WRONG = [
    "nonsense",
    "tcp://127.0.0.1",
    "tcp://:8786",
    "tcp://127.0.0.1:port",
    "tcp://127.0.0.1:99999",
    "tcp://127.0.0.1:8786/path",
    "tcp://two..dots:8786",
    "tcp://u:xyzzy@h:1",
    "tcp://xyzzy@h:1",
    "u:xyzzy@h:1",
    "inproc://x",
    "http://127.0.0.1:1",
]


@pytest.mark.parametrize("address", WRONG)
def test_address_that_no_scheduler_has_ends_the_run_at_once(
    cloud: Cloud, address: str
) -> None:
    cloud.add_cell("cell1")
    # A client that cannot begin waits for so long, and then again.
    cloud.configure(cellmap={"connect_timeout": HOUR})

    finished = cloud.start_cellmap(*ALL, "--scheduler", address).wait()

    [line] = finished.err.splitlines()
    assert (finished.code, cloud.our_tables()) == (78, set())
    assert line.startswith("error: scheduler=")
    assert "xyzzy" not in line
    assert line.endswith("write tcp://host:port or tls://host:port")


DASK = "DASK_DISTRIBUTED__COMM__"

# What Dask's configuration says, the scheme, and what the last line names.
TLS = [
    ({}, "tls", "has no certificates"),
    (
        {
            f"{DASK}TLS__CA_FILE": "/nonexistent/ca.pem",
            f"{DASK}TLS__CLIENT__CERT": "/nonexistent/client.pem",
        },
        "tls",
        "has a wrong distributed.comm.tls",
    ),
    ({f"{DASK}REQUIRE_ENCRYPTION": "True"}, "tcp", "write tls://host:port"),
]


@pytest.mark.parametrize(("env", "scheme", "why"), TLS)
def test_encryption_that_is_not_configured_ends_the_run_at_once(
    cloud: Cloud, tmp_path: Path, env: dict[str, str], scheme: str, why: str
) -> None:
    cloud.add_cell("cell1")
    config = ["--config-file", str(cloud.config_file)]
    command = [*config, *ALL, "--scheduler", f"{scheme}://127.0.0.1:1"]
    # Nobody's own configuration of Dask.
    env = {"HOME": str(tmp_path), **env}

    running = cloud.run("-m", "cellmap_migrations.cli", *command, env=env)
    finished = running.wait()

    [line] = finished.err.splitlines()
    assert (finished.code, cloud.our_tables()) == (78, set())
    assert why in line


def test_executor_without_a_scheduler_is_told_what_to_add(cloud: Cloud) -> None:
    finished = cellmap_inside(cloud, *ALL)

    assert finished.code == 78
    assert finished.err == (
        "error: executor=dask cannot be used: add --scheduler tcp://host:port or "
        "tls://host:port\n"
    )


def test_missing_extra_is_named(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud.add_cell("cell1")
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.delitem(sys.modules, "cellmap_migrations.cli.dask", raising=False)

    finished = cellmap_inside(cloud, *ALL, "--scheduler", "tcp://localhost:1")

    assert finished.code == 78
    assert "cellmap-migrations[dask]" in finished.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--executor", "dask"],
        ["--scheduler", "tcp://localhost:1"],
        ["--executor", "dask", "--scheduler", "tcp://localhost:1", "--jobs", "2"],
    ],
)
def test_executor_and_scheduler_belong_together(
    cloud: Cloud, arguments: list[str]
) -> None:
    cloud.add_cell("cell1")

    finished = cellmap_inside(cloud, "upgrade", "--cell", "cell1", *arguments)

    assert (finished.code, cloud.our_tables()) == (78, set())
    assert "cannot be used" in finished.err
