"""The manifests of contrib/kubernetes/: Kubernetes takes them, and they work."""

import json
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from cellmap_migrations.testing.process import Finished
from tests.conftest import MakeCloud, MakeController
from tests.harness.contrib import CODES, FOLDER
from tests.harness.controller import NOVA, Controller

MANIFESTS = sorted((FOLDER / "kubernetes").glob("*.yaml"))

# The first one where podFailurePolicy is not beta any more, and the newest.
VERSIONS = ("1.31", kubernetes_validate.latest_version())

each_manifest = pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)


def load(path: Path) -> dict[str, Any]:
    """Return a manifest."""
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found


def job(path: Path) -> dict[str, Any]:
    """Return the specification of the Job, or of those that a CronJob makes."""
    spec: dict[str, Any] = load(path)["spec"]
    template: dict[str, Any] = spec.get("jobTemplate", {"spec": spec})
    found: dict[str, Any] = template["spec"]
    return found


def tried_again(path: Path, code: int) -> bool:
    """Say whether Kubernetes starts another pod after one that ended with *code*."""
    [rule] = [
        rule["onExitCodes"]
        for rule in job(path)["podFailurePolicy"]["rules"]
        if rule["action"] == "FailJob"
    ]
    assert rule["operator"] == "NotIn"
    return code in rule["values"]


def run(path: Path, controller: Controller) -> Finished:
    """Run the container's command as its user, with its environment alone."""
    pod = job(path)["template"]["spec"]
    [container] = pod["containers"]
    user, group = (pod["securityContext"][key] for key in ("runAsUser", "runAsGroup"))
    identity = (f"--reuid={user}", f"--regid={group}", f"--groups={NOVA}")
    environment = [f"{var['name']}={var['value']}" for var in container["env"]]
    return controller.run(
        *("setpriv", *identity, "--no-new-privs", "--bounding-set=-all"),
        *("env", "-i", "PATH=/usr/bin", *environment, *container["command"]),
    )


@each_manifest
@pytest.mark.parametrize("version", VERSIONS)
def test_schema_of_kubernetes_finds_nothing_wrong(path: Path, version: str) -> None:
    kubernetes_validate.validate(load(path), version, strict=True)


@each_manifest
def test_only_what_another_pod_cures_is_tried_again(path: Path) -> None:
    again = {code for code in CODES if tried_again(path, code)}

    assert again == {75, 137, 143}


@each_manifest
def test_pod_can_do_nothing_but_its_work(path: Path) -> None:
    pod = job(path)["template"]["spec"]
    [container] = pod["containers"]

    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@pytest.mark.only_on("mysql")
@each_manifest
def test_its_command_maps_the_cells_and_may_run_again(
    make_cloud: MakeCloud, make_controller: MakeController, path: Path
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(3)
    controller = make_controller(cloud)

    first = run(path, controller)
    second = run(path, controller)

    assert [json.loads(pod.out)["exit_code"] for pod in (first, second)] == [0, 0]
    assert (first.code, first.err, second.code) == (0, "", 0)
    assert cloud.mapped_uuids(cell) == set(uuids)
