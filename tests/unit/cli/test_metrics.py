"""``status`` and ``check`` write metrics that agree with their JSON."""

import json
import sys
import time
from contextlib import closing, redirect_stdout
from datetime import datetime, timezone
from io import FileIO, TextIOWrapper
from pathlib import Path
from signal import SIGTERM
from typing import Any

import pytest
import sqlalchemy as sa

from cellmap_migrations.bookkeeping.tables import COUNTS
from cellmap_migrations.cli import main
from cellmap_migrations.config.nova_conf import version
from cellmap_migrations.testing.config import text
from cellmap_migrations.testing.servers import PASSWORD
from cellmap_migrations.testing.servers.daemon import free_port
from tests.conftest import MakeCloud
from tests.harness.cloud import Cloud
from tests.harness.inside import cellmap_inside, inside
from tests.harness.metrics import Samples, samples, value

STATUS = ("status", "--output", "prometheus")

CHECK = ("check", "--cell", "all", "--output", "prometheus")

# All that the text format escapes, and what it does not know.
ODD = 'of "A"\\ or\nB\x1b[31m'

SHOWN = 'of "A"\\ or\\nB\\x1b[31m'

DIFFERENCES = {
    *("unmapped", "no_cell", "wrong_cell", "orphan", "only_hidden", "stray"),
    *("queued_for_delete", "user_id", "project_id", "rejected", "conflict"),
    *("unresolved", "in_flight"),
}


def silent(database: str) -> str:
    """Return the address of a cell at which nothing answers."""
    url = sa.URL.create(
        "mysql+pymysql", "nova", PASSWORD, "127.0.0.1", free_port(), database
    )
    return text(url)


@pytest.fixture
def cloud(cloud: Cloud) -> Cloud:
    """A cloud with a cell that paused, one that was never mapped, and one down."""
    cloud.add_cell("cell1").add_instances(30)
    cloud.add_cell(ODD).add_instances(2)
    cloud.configure(
        cellmap={
            "batch_rows_min": 10,
            "batch_rows_max": 10,
            "sleep_ratio": 0.1,
            "connect_timeout": 1,
        }
    )
    assert cellmap_inside(cloud, "upgrade", "--cell", "cell1").code == 0
    cloud.add_cell(None, connection=silent("cell3"))
    return cloud


def unix(iso: str) -> float:
    """Return the Unix time of a time in JSON."""
    naive = datetime.strptime(iso, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    return naive.timestamp()


def expected(cell: dict[str, Any]) -> Samples:
    """Return the metrics that the JSON of a cell stands for."""
    own = {
        "cell": cell["cell"],
        "name": SHOWN if cell["name"] == ODD else cell["name"] or "",
    }
    found: list[tuple[str, dict[str, str], float]] = [
        ("cellmap_revision_info", {"revision": cell["revision"] or ""}, 1),
        ("cellmap_complete", {}, cell["state"] == "complete"),
        ("cellmap_reachable", {}, cell["reachable"]),
        ("cellmap_batches_total", {}, cell["batches"]),
        ("cellmap_batch_seconds_total", {}, cell["seconds"]),
    ]
    found += [("cellmap_rows_total", {"outcome": n}, cell[n]) for n in COUNTS]
    found += [
        ("cellmap_paused_seconds_total", {"reason": option}, seconds)
        for option, seconds in cell["paused"].items()
    ]
    if cell["last_batch"]:
        when = unix(cell["last_batch"])
        found.append(("cellmap_last_batch_timestamp_seconds", {}, when))
    return {
        (name, frozenset({**own, **more}.items())): float(number)
        for name, more, number in found
    }


def test_metrics_of_status_agree_with_its_json(cloud: Cloud) -> None:
    before = time.time()
    written = cellmap_inside(cloud, *STATUS)
    shown = json.loads(cellmap_inside(cloud, "status", "--output", "json").out)

    found = samples(written.out)
    build = found.pop(("cellmap_build_info", frozenset({("version", version())})))
    when = found.pop(("cellmap_status_timestamp_seconds", frozenset()))

    first, second, third = shown["cells"]
    assert (written.code, build) == (0, 1)
    assert before <= when <= time.time()
    assert found == expected(first) | expected(second) | expected(third)
    # Each of these was different from the others.
    assert [cell["state"] for cell in shown["cells"]] == [
        "complete",
        "behind",
        "behind",
    ]
    assert [cell["reachable"] for cell in shown["cells"]] == [True, True, False]
    assert first["paused"].keys() == {"sleep_ratio"}
    assert first["paused"]["sleep_ratio"] > 0
    assert first["seconds"] > 0
    assert first["mapped"] == 30


def test_cell_has_no_last_batch_before_its_first_one(cloud: Cloud) -> None:
    found = samples(cellmap_inside(cloud, *STATUS).out)

    cells = [
        dict(labels)["cell"]
        for name, labels in found
        if name == "cellmap_last_batch_timestamp_seconds"
    ]
    assert cells == [cloud.cells[0].uuid]


@pytest.mark.only_on("mysql", "postgresql")
def test_select_is_all_that_both_need(
    make_cloud: MakeCloud, backend: str, tmp_path: Path
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.add_instances(3)
    cellmap_inside(cloud, "upgrade", "--cell", "cell1")
    server = cloud.server(backend)
    cloud.lead(cell, text(server.readonly(cell.url)))
    cloud.configure(api_database={"connection": text(server.readonly(cloud.url))})
    status, check = tmp_path / "status.prom", tmp_path / "check.prom"

    codes = [
        cellmap_inside(cloud, *STATUS, "-o", str(status)).code,
        cellmap_inside(cloud, *CHECK, "-o", str(check)).code,
    ]

    own = {"cell": cell.uuid, "name": "cell1"}
    assert codes == [0, 0]
    assert value(status.read_text(), "cellmap_complete", **own) == 1
    assert value(check.read_text(), "cellmap_check_success", **own) == 1


def test_file_has_the_metrics_and_stdout_has_nothing(
    cloud: Cloud, tmp_path: Path
) -> None:
    path = tmp_path / "cellmap.prom"
    path.write_text("old")

    status = cellmap_inside(cloud, *STATUS, "-o", str(path))
    first = path.read_text()
    check = cellmap_inside(cloud, *CHECK, "-o", str(path))

    assert (status.code, status.out, check.out) == (0, "", "")
    assert first.startswith("# HELP cellmap_build_info ")
    assert path.read_text().startswith("# HELP cellmap_check_success ")


def test_no_secret_is_written(cloud: Cloud, tmp_path: Path) -> None:
    path = tmp_path / "cellmap.prom"

    # cellmap_inside() looks at stdout and stderr.
    cellmap_inside(cloud, *STATUS)
    cellmap_inside(cloud, *CHECK)
    for command in (STATUS, CHECK):
        cellmap_inside(cloud, *command, "-o", str(path))

        assert PASSWORD not in path.read_text()


def test_check_counts_each_kind_of_difference(cloud: Cloud) -> None:
    cell, _, down = cloud.cells
    for uuid in cell.uuids()[:2]:
        cloud.unmap(uuid)
    before = time.time()

    finished = cellmap_inside(cloud, *CHECK)

    found = samples(finished.out)
    kinds = {
        (labels["cell"], labels["kind"]): number
        for (name, each), number in found.items()
        if name == "cellmap_check_differences" and (labels := dict(each))
    }
    own = {"cell": cell.uuid, "name": "cell1"}
    assert {kind for uuid, kind in kinds if uuid == cell.uuid} == DIFFERENCES
    assert {key: number for key, number in kinds.items() if number} == {
        (cell.uuid, "unmapped"): 2,
        (cloud.cells[1].uuid, "unmapped"): 2,
    }
    ended = value(finished.out, "cellmap_check_timestamp_seconds", **own)
    took = value(finished.out, "cellmap_check_duration_seconds", **own)
    assert before <= ended - took < ended <= time.time()
    assert value(finished.out, "cellmap_check_success", **own) == 1
    # A cell that could not be compared.
    assert down.uuid not in {uuid for uuid, _ in kinds}
    lost = {"cell": down.uuid, "name": ""}
    assert value(finished.out, "cellmap_check_success", **lost) == 0
    # It was compared after the first one had ended. Clocks may be adjusted meanwhile.
    last = value(finished.out, "cellmap_check_timestamp_seconds", **lost)
    waited = value(finished.out, "cellmap_check_duration_seconds", **lost)
    assert ended <= last - waited + 0.01
    assert finished.code == 75
    assert "not reached within" in finished.err


def test_difference_that_is_information_is_not_counted(cloud: Cloud) -> None:
    cell = cloud.cells[0]
    [uuid, *_] = cell.uuids()
    cloud.queue_for_delete(uuid)

    finished = cellmap_inside(
        cloud, "check", "--cell", "cell1", "--output", "prometheus"
    )

    found = samples(finished.out)
    assert finished.code == 0
    assert {
        number
        for (name, _), number in found.items()
        if name == "cellmap_check_differences"
    } == {0}


@pytest.mark.parametrize("command", [STATUS, CHECK], ids=lambda words: words[0])
def test_old_file_stays_if_the_api_database_does_not_answer(
    cloud: Cloud, tmp_path: Path, command: tuple[str, ...]
) -> None:
    path = tmp_path / "cellmap.prom"
    path.write_text("old")
    cloud.configure(api_database={"connection": silent("nova_api")})

    finished = cellmap_inside(cloud, *command, "-o", str(path))

    assert (finished.code, finished.out, path.read_text()) == (75, "", "old")
    assert finished.err.startswith("error: API database (mysql 127.0.0.1:")


def test_stopped_check_leaves_the_old_file(cloud: Cloud, tmp_path: Path) -> None:
    path = tmp_path / "cellmap.prom"
    path.write_text("old")
    # The second read of a table of instances is in the comparison of the first cell.
    running = cloud.start_cellmap_until(
        "before FROM instances #2", SIGTERM, *CHECK, "-o", str(path)
    )

    finished = running.wait()

    assert (finished.code, path.read_text()) == (75, "old")
    assert finished.err.splitlines()[-1].startswith("error: stopped: SIGTERM received")


@pytest.mark.parametrize("command", [STATUS, CHECK], ids=lambda words: words[0])
def test_missing_extra_is_named(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    module = "cellmap_migrations.cli.prometheus"
    monkeypatch.delitem(sys.modules, module, raising=False)

    finished = cellmap_inside(cloud, *command)

    assert (finished.code, finished.out) == (78, "")
    assert finished.err == (
        "error: --output prometheus needs the Python package prometheus_client; "
        "install cellmap-migrations[prometheus]\n"
    )


@pytest.mark.parametrize(
    "command", [("status",), ("check", "--cell", "cell1")], ids=lambda words: words[0]
)
@pytest.mark.parametrize("output", ["text", "json"])
def test_file_without_metrics_is_refused(
    cloud: Cloud, tmp_path: Path, command: tuple[str, ...], output: str
) -> None:
    path = tmp_path / "cellmap.prom"

    finished = cellmap_inside(cloud, *command, "--output", output, "-o", str(path))

    assert (finished.code, path.exists()) == (78, False)
    assert finished.err == (
        f"error: -o={path} cannot be used: add --output prometheus\n"
    )


@pytest.mark.parametrize("command", [STATUS, CHECK], ids=lambda words: words[0])
def test_file_that_cannot_be_written_is_named(
    cloud: Cloud, tmp_path: Path, command: tuple[str, ...]
) -> None:
    path = tmp_path / "gone" / "cellmap.prom"

    finished = cellmap_inside(cloud, *command, "-o", str(path))

    assert finished.code == 75
    assert f"could not be written: {path}: No such file or directory" in finished.err


@pytest.mark.parametrize("command", [STATUS, CHECK], ids=lambda words: words[0])
def test_lost_output_is_an_error(cloud: Cloud, command: tuple[str, ...]) -> None:
    def full(arguments: list[str]) -> int:
        # Unbuffered, so that its end has nothing to write.
        device = TextIOWrapper(FileIO("/dev/full", "w"), write_through=True)
        with closing(device), redirect_stdout(device):
            return main.main(arguments)

    files = ["--config-file", str(cloud.config_file)]
    finished = inside(full, [*files, *command])

    assert finished.code == 75
    assert "could not be written: No space left on device" in finished.err
