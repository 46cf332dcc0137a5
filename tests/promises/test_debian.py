"""The package scripts of contrib/debian/: dpkg and debconf run them as they are."""

import shutil
import subprocess
from pathlib import Path

import pytest

from cellmap_migrations.testing.config import text
from cellmap_migrations.testing.process import Finished
from cellmap_migrations.testing.servers.daemon import free_port
from tests.conftest import MakeCloud, MakeController
from tests.harness.cloud import Cloud
from tests.harness.contrib import CODES, FOLDER, ROWS, SLOWLY, frozen_halfway
from tests.harness.controller import Controller

CONTROL = """Package: cellmap
Version: 1
Architecture: all
Maintainer: Nobody <nobody@localhost>
Description: scripts under test
"""

ANSWER = "echo cellmap cellmap/upgrade boolean true | debconf-set-selections"

INSTALL = "DEBIAN_FRONTEND=noninteractive dpkg --install"

# What dpkg does with the script, and a package manager again and again.
CONFIGURE = (
    "DEBIAN_FRONTEND=noninteractive /var/lib/dpkg/info/cellmap.postinst configure"
)

LATER = "systemctl start cellmap@all"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package that consists of the scripts."""
    folder = tmp_path_factory.mktemp("package")
    control = folder / "cellmap" / "DEBIAN"
    control.mkdir(parents=True)
    for source in (FOLDER / "debian").iterdir():
        shutil.copy(source, control / source.suffix[1:])
    (control / "control").write_text(CONTROL)
    build = ["dpkg-deb", "--root-owner-group", "--build", str(control.parent)]
    subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
    return folder / "cellmap.deb"


def install(controller: Controller, package: Path, before: str = ":") -> Finished:
    """Install the package on the host after *before*; dpkg has to end well."""
    script = f'{before}; {INSTALL} "$1"; dpkg --status cellmap | grep ^Status'
    finished = controller.sh(script, str(package))
    assert finished.code == 0
    assert finished.out.splitlines()[-1] == "Status: install ok installed"
    return finished


@pytest.mark.only_on("mysql")
def test_nothing_is_mapped_unless_it_was_asked_for(
    make_cloud: MakeCloud, make_controller: MakeController, package: Path
) -> None:
    cloud = make_cloud()
    cloud.add_cell("cell1").add_instance()

    finished = install(make_controller(cloud), package)

    assert (finished.err, cloud.mappings()) == ("", {})


@pytest.mark.only_on("mysql")
def test_installing_twice_maps_once(
    make_cloud: MakeCloud, make_controller: MakeController, package: Path
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(3)
    controller = make_controller(cloud)

    first = install(controller, package, ANSWER)
    batches = cloud.journal(cell)
    second = install(controller, package)

    assert "3 mapped" in first.err
    assert cloud.mapped_uuids(cell) == set(uuids)
    assert "mapped" not in second.err
    assert cloud.journal(cell) == batches


@pytest.mark.only_on("mysql")
def test_database_that_is_absent_does_not_break_dpkg(
    make_cloud: MakeCloud, make_controller: MakeController, package: Path
) -> None:
    cloud = make_cloud()
    absent = text(cloud.url.set(port=free_port()))
    cloud.configure(
        api_database={"connection": absent, "max_retries": -1},
        cellmap={"connect_timeout": 1},
    )

    finished = install(make_controller(cloud), package, ANSWER)

    assert " not reached within 1 s: " in finished.err
    assert finished.err.endswith(f"cellmap: not finished (75); go on with: {LATER}\n")


@pytest.mark.only_on("mysql")
def test_database_that_refuses_does_not_break_dpkg(
    make_cloud: MakeCloud, make_controller: MakeController, package: Path
) -> None:
    cloud = make_cloud()
    stranger = cloud.url.set(username="stranger")
    cloud.configure(api_database={"connection": text(stranger)})

    finished = install(make_controller(cloud), package, ANSWER)

    assert "Access denied" in finished.err
    assert "cellmap: some cells are not mapped (77): see the table" in finished.err


@pytest.mark.only_on("mysql")
def test_cell_that_is_wrong_says_nothing_of_one_that_stopped(
    make_cloud: MakeCloud, make_controller: MakeController, package: Path
) -> None:
    cloud = make_cloud()
    stopped, _ = cloud.add_cell("stopped"), cloud.add_cell("wrong", connection="no url")
    stopped.add_instances(30)
    cloud.configure(cellmap={"max_rows": 20})

    finished = install(make_controller(cloud), package, ANSWER)

    table = [line.split() for line in finished.err.splitlines()]
    codes = {words[0]: words[-1] for words in table if words[0] in ("stopped", "wrong")}
    assert codes == {"stopped": "75", "wrong": "78"}
    assert "cellmap: some cells are not mapped (78): see the table" in finished.err
    assert len(cloud.mapped_uuids(stopped)) == 20


@pytest.mark.only_on("mysql")
def test_cell_that_is_half_done_is_finished_by_the_next_time(
    make_cloud: MakeCloud, make_controller: MakeController, package: Path
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(30)
    cloud.configure(cellmap={**SLOWLY, "max_rows": 20})
    controller = make_controller(cloud)

    first = install(controller, package, ANSWER)
    half = len(cloud.mapped_uuids(cell))
    controller.sh(CONFIGURE)

    assert f"cellmap: not finished (75); go on with: {LATER}\n" in first.err
    assert half == 20
    assert cloud.mapped_uuids(cell) == set(uuids)


@pytest.mark.only_on("mysql")
def test_two_hosts_at_once(
    make_cloud: MakeCloud, make_controller: MakeController, package: Path
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(ROWS)
    cloud.configure(cellmap=SLOWLY)
    hosts = make_controller(cloud), make_controller(cloud)
    for host in hosts:
        install(host, package)
        host.sh(ANSWER)

    slow = hosts[0].start("sh", "-c", CONFIGURE)
    with frozen_halfway(slow, cloud, cell):
        other = hosts[1].sh(CONFIGURE)
    overtaken = slow.wait()

    assert (other.code, overtaken.code) == (0, 0)
    assert overtaken.err.endswith(f"cellmap: not finished (75); go on with: {LATER}\n")
    assert cloud.mapped_uuids(cell) == set(uuids)


def test_no_exit_code_breaks_dpkg(
    cloud: Cloud, make_controller: MakeController, package: Path
) -> None:
    controller = make_controller(cloud)
    install(controller, package)
    controller.sh(ANSWER)
    said = []

    for code in CODES:
        controller.stand_in(code)
        finished = controller.sh(CONFIGURE)
        said.append((finished.code, f"({code})" in finished.err))

    assert said == [(0, code != 0) for code in CODES]


def test_without_the_program_nothing_happens(
    cloud: Cloud, make_controller: MakeController, package: Path
) -> None:
    finished = install(
        make_controller(cloud), package, f"{ANSWER}; rm /usr/bin/cellmap"
    )

    assert finished.err == ""
