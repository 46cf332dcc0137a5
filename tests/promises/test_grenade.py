"""contrib/grenade/upgrade.sh, sourced by an upgrade job as grenade is written."""

import sys
from pathlib import Path

import pytest

from cellmap_migrations.testing.process import Finished, Running
from tests.conftest import MakeCloud
from tests.harness.cloud import Cloud
from tests.harness.contrib import CODES, FOLDER, ROWS, SLOWLY, finish, frozen_halfway

PROGRAM = Path(sys.executable).with_name("cellmap")

SCRIPT = FOLDER / "grenade" / "upgrade.sh"

# The head of a project's script in grenade; the last line is for what comes after.
JOB = f"""
set -o errexit -o nounset -o pipefail
source {SCRIPT}
cellmap_upgrade "$@"
echo "the job goes on"
"""

# Ends at its first upgrade, and at every check, as the environment says.
STAND_IN = """#!/bin/sh
echo "$@" >>"$CALLS"
case $* in
*upgrade*) test "$(grep -c upgrade "$CALLS")" -gt 1 || exit "$UPGRADE" ;;
*check*) exit "$CHECK" ;;
esac
"""


class Job:
    """An upgrade job on this machine; *program* is its cellmap."""

    def __init__(self, program: Path, config: Path) -> None:
        self.env = {"CELLMAP": str(program), "NOVA_CONF": str(config)}
        self.env["CELLMAP_PAUSE"] = "0"

    def start(self, *cells: str, **env: str) -> Running:
        """Start the job."""
        return Running(["bash", "-c", JOB, "job", *cells], env={**self.env, **env})

    def run(self, *cells: str, **env: str) -> Finished:
        """Run the job to its end."""
        return finish(self.start(*cells, **env))


@pytest.fixture
def job(cloud: Cloud) -> Job:
    """A job on a cloud for which the kind of database does not matter."""
    return Job(PROGRAM, cloud.config_file)


def test_job_goes_on_when_the_cloud_is_mapped_and_may_be_repeated(
    cloud: Cloud, job: Job
) -> None:
    cells = [cloud.add_cell("cell1"), cloud.add_cell("cell2")]
    uuids = [set(cell.add_instances(3)) for cell in cells]

    first = job.run()
    batches = [cloud.journal(cell) for cell in cells]
    second = job.run("cell2")

    assert (first.code, first.err) == (0, "")
    assert first.out.endswith("the job goes on\n")
    assert [cloud.mapped_uuids(cell) for cell in cells] == uuids
    assert (second.code, second.err) == (0, "")
    assert "mapped" not in second.out
    assert [cloud.journal(cell) for cell in cells] == batches


def test_job_dies_of_an_instance_that_cannot_be_mapped(cloud: Cloud, job: Job) -> None:
    cell = cloud.add_cell("cell1")
    uuid = cell.add_instance()
    cell.add_instance(project_id=None)

    finished = job.run("cell1")

    assert (finished.code, finished.out.count("the job goes on")) == (1, 0)
    assert "[ERROR] " in finished.err.splitlines()[-1]
    assert "cell cell1: decide about the instances" in finished.err
    assert cloud.mapped_uuids(cell) == {uuid}


@pytest.mark.only_on("mysql")
def test_run_that_another_job_overtakes_is_repeated(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(ROWS)
    cloud.configure(cellmap=SLOWLY)
    job = Job(PROGRAM, cloud.config_file)

    slow = job.start()
    with frozen_halfway(slow, cloud, cell):
        other = job.run()
    overtaken = finish(slow)

    assert (other.code, overtaken.code) == (0, 0)
    assert "error: another run (" in overtaken.err
    assert cloud.mapped_uuids(cell) == set(uuids)


@pytest.fixture
def stand_in(tmp_path: Path) -> Job:
    """A job whose cellmap only ends as it is told."""
    program = tmp_path / "cellmap"
    program.write_text(STAND_IN)
    program.chmod(0o755)
    job = Job(program, tmp_path / "nova.conf")
    job.env["CALLS"] = str(tmp_path / "calls")
    return job


def calls(job: Job) -> list[str]:
    """Return the commands that were run, without the name of nova.conf."""
    lines = Path(job.env["CALLS"]).read_text().splitlines()
    return [line.partition("nova.conf ")[2] for line in lines]


@pytest.mark.parametrize("code", CODES)
def test_only_a_finished_upgrade_or_a_repeated_one_lets_the_job_go_on(
    stand_in: Job, code: int
) -> None:
    finished = stand_in.run("c", UPGRADE=str(code), CHECK="0")

    upgrade, check = "upgrade --cell c", "check --cell c"
    expected = {0: [upgrade, check], 75: [upgrade, upgrade, check]}
    assert calls(stand_in) == expected.get(code, [upgrade])
    assert finished.code == (0 if code in expected else 1)


@pytest.mark.parametrize("code", [code for code in CODES if code])
def test_check_that_does_not_end_well_kills_the_job(stand_in: Job, code: int) -> None:
    finished = stand_in.run(UPGRADE="0", CHECK=str(code), CELLMAP_TRIES="2")

    assert finished.code == 1
    assert calls(stand_in).count("check --cell all") == (2 if code == 75 else 1)


def test_job_gives_up_when_another_run_does_not_help(stand_in: Job) -> None:
    finished = stand_in.run(UPGRADE="75", CHECK="0", CELLMAP_TRIES="1")

    assert finished.code == 1
    assert "still not finished after 1 runs" in finished.err


def test_die_of_the_job_is_kept(stand_in: Job) -> None:
    command = f'die() {{ echo "its own: $*"; exit 9; }}; {JOB}'

    env = {**stand_in.env, "UPGRADE": "65", "CHECK": "0"}
    finished = finish(Running(["bash", "-c", command, "job"], env=env))

    assert finished.code == 9
    assert finished.out.startswith("its own: ")
