"""The role of contrib/ansible/, played by ansible on a host that looks like nova's."""

import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from cellmap_migrations.testing.process import Running
from tests.conftest import MakeCloud, MakeController
from tests.harness.cloud import Cloud
from tests.harness.contrib import FOLDER, ROWS, SLOWLY, frozen_halfway
from tests.harness.controller import Controller
from tests.harness.wheel import Installed

PROGRAM = Path(sys.executable).with_name("ansible-playbook")

# su, since sudo is not everywhere; nova's own shell lets nobody in.
BECOME = {"ansible_become_method": "su", "ansible_become_flags": "--shell /bin/sh"}

STATE = re.compile(r"^(\w+): \[localhost\](?: =>)? \(item=", re.MULTILINE)

UPGRADE, CHECK = "main", "check"

UPGRADE_CODES = {0: "ok", **dict.fromkeys((2, 3, 65, 70, 75, 77, 78), "failed")}

CHECK_CODES = {**UPGRADE_CODES, 3: "changed"}


class Ansible:
    """Plays the role on *host*; *folder* is for what ansible wants to write."""

    def __init__(self, host: Controller, folder: Path, python: Path) -> None:
        self.host, self.folder = host, folder
        interpreter = {"ansible_python_interpreter": str(python)}
        self.variables = {**BECOME, **interpreter, "cellmap_delay": 0}

    def start(self, *parts: str, check: bool = False, **variables: Any) -> Running:
        """Start to play these parts of the role."""
        roles = [{"name": "cellmap", "tasks_from": part} for part in parts]
        play = {
            "hosts": "localhost",
            "gather_facts": False,
            "ignore_errors": True,
            "tasks": [{"ansible.builtin.include_role": role} for role in roles],
            "vars": {**self.variables, **variables},
        }
        playbook = self.folder / "playbook.yml"
        playbook.write_text(json.dumps([play]))
        return self.host.start(
            *(str(PROGRAM), "--inventory=localhost,", "--connection=local"),
            *(["--check"] if check else []),
            str(playbook),
            ANSIBLE_HOME=str(self.folder),
            ANSIBLE_PIPELINING="1",
            ANSIBLE_ROLES_PATH=str(FOLDER / "ansible"),
            LC_ALL="C.UTF-8",
        )

    def play(self, *parts: str, check: bool = False) -> Sequence[str]:
        """Play these parts of the role; return what ansible says of each cell."""
        return states(self.start(*parts, check=check))


def states(running: Running) -> Sequence[str]:
    """Return what ansible says of each cell in the end."""
    return STATE.findall(running.wait().out)


MakeAnsible: TypeAlias = Callable[[Cloud], Ansible]


@pytest.fixture
def make_ansible(
    make_controller: MakeController, installed: Installed, tmp_path: Path
) -> MakeAnsible:
    """Make a host and the ansible that plays on it."""

    def make(cloud: Cloud) -> Ansible:
        return Ansible(make_controller(cloud), tmp_path, installed.python)

    return make


@pytest.mark.only_on("mysql")
def test_second_time_changes_nothing(
    make_cloud: MakeCloud, make_ansible: MakeAnsible
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(3)

    played = make_ansible(cloud).play(CHECK, UPGRADE, UPGRADE, CHECK)

    assert played == ["changed", "changed", "ok", "ok"]
    assert cloud.mapped_uuids(cell) == set(uuids)


@pytest.mark.only_on("mysql")
def test_check_mode_compares_and_writes_nothing(
    make_cloud: MakeCloud, make_ansible: MakeAnsible
) -> None:
    cloud = make_cloud()
    cloud.add_cell("cell1").add_instance()

    played = make_ansible(cloud).play(CHECK, UPGRADE, check=True)

    assert played == ["changed", "skipping"]
    assert (cloud.mappings(), cloud.our_tables()) == ({}, set())


@pytest.mark.only_on("mysql")
def test_run_that_another_host_overtakes_is_repeated(
    make_cloud: MakeCloud, make_ansible: MakeAnsible
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(ROWS)
    cloud.configure(cellmap=SLOWLY)
    ansible = make_ansible(cloud)

    running = ansible.start(UPGRADE)
    with frozen_halfway(running, cloud, cell):
        other = ansible.host.as_nova("cellmap", "upgrade", "--cell", "all")
    played = states(running)

    assert other.code == 0
    assert "FAILED - RETRYING: [localhost]" in running.out
    assert played == ["ok"]
    assert cloud.mapped_uuids(cell) == set(uuids)


def test_every_exit_code_has_its_state(cloud: Cloud, make_ansible: MakeAnsible) -> None:
    ansible = make_ansible(cloud)
    # The cell's name stands there, after the name of nova.conf and of the command.
    ansible.host.stand_in("$5")

    cells = [str(code) for code in UPGRADE_CODES]
    running = ansible.start(UPGRADE, CHECK, cellmap_cells=cells, cellmap_retries=1)

    assert states(running) == [*UPGRADE_CODES.values(), *CHECK_CODES.values()]
