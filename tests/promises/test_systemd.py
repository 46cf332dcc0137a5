"""The unit of contrib/systemd/: systemd accepts it, and its command works."""

import shlex
from configparser import ConfigParser
from pathlib import Path

import pytest

from tests.conftest import MakeCloud, MakeController
from tests.harness.cloud import Cloud
from tests.harness.contrib import CODES, FOLDER

UNIT = FOLDER / "systemd" / "cellmap@.service"


def unit(section: str) -> dict[str, str]:
    """Return what a section of the unit sets."""
    parser = ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(UNIT)
    return dict(parser[section])


@pytest.mark.parametrize("instance", ["all", "8f1ee6a0-6f5c-4d4a-a6cb-9a0b7c0d3c11"])
def test_systemd_finds_nothing_wrong(
    cloud: Cloud, make_controller: MakeController, tmp_path: Path, instance: str
) -> None:
    controller = make_controller(cloud)
    copy = tmp_path / f"cellmap@{instance}.service"
    copy.write_text(UNIT.read_text())

    finished = controller.run("systemd-analyze", "verify", "--man=no", str(copy))

    assert (finished.code, finished.err) == (0, "")


def test_only_what_another_run_cures_is_tried_again() -> None:
    service = unit("Service")

    prevented = {int(code) for code in service["RestartPreventExitStatus"].split()}

    # systemd takes SIGTERM for a clean end, and SIGKILL for a failure of its own kind.
    assert prevented == set(CODES) - {0, 75, 137, 143}
    assert service["Restart"] == "on-failure"


@pytest.mark.only_on("mysql")
def test_its_command_maps_the_cell_and_may_be_started_again(
    make_cloud: MakeCloud, make_controller: MakeController
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(3)
    controller = make_controller(cloud)
    service = unit("Service")
    start = shlex.split(service["ExecStart"].replace("%i", cell.uuid))
    environment = shlex.split(service["Environment"])
    command = [
        "runuser",
        "-u",
        service["User"],
        "--",
        "env",
        "-i",
        *environment,
        *start,
    ]

    first = controller.run(*command)
    second = controller.run(*command)

    assert (first.code, first.err) == (0, "")
    assert first.out.startswith(f"cell1 ({cell.uuid}): 3 mapped in ")
    assert cloud.mapped_uuids(cell) == set(uuids)
    assert (second.code, second.out, second.err) == (0, "", "")
