"""contrib/prometheus/ and docs/prometheus.rst: Prometheus and systemd accept them."""

import re
import shlex
import tempfile
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from cellmap_migrations.comparing.differences import INFORMATION, Kind
from tests.conftest import MakeCloud, MakeController
from tests.harness import readme
from tests.harness.cloud import Cloud
from tests.harness.contrib import FOLDER
from tests.harness.inside import cellmap_inside
from tests.harness.metrics import names
from tests.harness.prometheus import promtool, watching
from tests.harness.waiting import wait_for

FILES = FOLDER / "prometheus"

RULES, TESTS = FILES / "cellmap.rules.yml", FILES / "cellmap.rules.test.yml"

UNIT = "cellmap-metrics@.service"

INSTANCES = ("status", "check")

PAGE = readme.DOCS / "prometheus.rst"


def rules() -> list[dict[str, Any]]:
    """Return the alert rules."""
    [group] = yaml.safe_load(RULES.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def service() -> dict[str, str]:
    """Return what the section [Service] of the unit sets."""
    parser = ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(FILES / UNIT)
    return dict(parser["Service"])


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that the users of Prometheus and node_exporter may enter."""
    with tempfile.TemporaryDirectory(prefix="prometheus-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def written(cloud: Cloud, instance: str, folder: Path) -> int:
    """Run the command of the unit with a file in *folder*; return its exit code."""
    file = folder / f"cellmap_{instance}.prom"
    _, *words = shlex.split(service()["ExecStart"].replace("%i", instance))
    return cellmap_inside(cloud, *words[:-1], str(file)).code


@pytest.fixture
def metrics(cloud: Cloud, tmp_path: Path) -> dict[str, str]:
    """The metrics of both commands, for a cell that was mapped with pauses."""
    cloud.add_cell("cell1").add_instances(20)
    cloud.configure(
        cellmap={"batch_rows_min": 10, "batch_rows_max": 10, "sleep_ratio": 0.1}
    )
    cellmap_inside(cloud, "upgrade", "--cell", "cell1")
    assert [written(cloud, instance, tmp_path) for instance in INSTANCES] == [0, 0]
    return {
        instance: (tmp_path / f"cellmap_{instance}.prom").read_text()
        for instance in INSTANCES
    }


def test_promtool_finds_nothing_wrong_with_the_metrics(metrics: dict[str, str]) -> None:
    for text in metrics.values():
        checked = promtool("check", "metrics", given=text)

        assert (checked.code, checked.out, checked.err) == (0, "", "")


def test_each_metric_has_a_help_and_a_type(metrics: dict[str, str]) -> None:
    for text in metrics.values():
        helped = re.findall(r"^# HELP (\w+) [A-Z0-9].+\.$", text, re.MULTILINE)
        typed = re.findall(r"^# TYPE (\w+) (?:gauge|counter)$", text, re.MULTILINE)

        assert set(helped) == set(typed) == names(text)


def test_commands_have_no_metric_in_common(metrics: dict[str, str]) -> None:
    # node_exporter refuses a metric that two files have.
    assert names(metrics["status"]) & names(metrics["check"]) == set()


def test_page_explains_each_metric(metrics: dict[str, str]) -> None:
    explained = set(readme.table("metric", PAGE))

    assert explained == names(metrics["status"]) | names(metrics["check"])


def test_page_explains_each_alert() -> None:
    assert [rule["alert"] for rule in rules()] == list(readme.table("alert", PAGE))


def test_rules_name_only_metrics_that_exist(metrics: dict[str, str]) -> None:
    found = {
        metric
        for rule in rules()
        for metric in re.findall(r"\bcellmap_\w+", rule["expr"])
    }

    assert found <= names(metrics["status"]) | names(metrics["check"])
    assert len(found) == 7


def test_each_kind_of_difference_is_in_one_alert() -> None:
    kinds = [
        kind
        for rule in rules()
        for found in re.findall(r'kind=~"([^"]+)"', rule["expr"])
        for kind in found.split("|")
    ]

    assert sorted(kinds) == sorted(
        kind.value for kind in Kind if kind not in INFORMATION
    )


def test_promtool_accepts_the_rules_and_their_tests_pass() -> None:
    checked = promtool("check", "rules", str(RULES))
    tested = promtool("test", "rules", str(TESTS))

    assert (checked.code, tested.code) == (0, 0), checked.err + tested.out + tested.err


def test_each_alert_is_tested_while_it_fires_and_while_it_does_not() -> None:
    tests = yaml.safe_load(TESTS.read_text())["tests"]

    tried = {
        (each["alertname"], bool(each.get("exp_alerts")))
        for test in tests
        for each in test["alert_rule_test"]
    }

    assert {
        (rule["alert"], fires) for rule in rules() for fires in (True, False)
    } == tried


def test_alert_fires_until_a_cell_is_repaired(cloud: Cloud, public: Path) -> None:
    cell = cloud.add_cell("cell1")
    first, *_ = cell.add_instances(3)
    cellmap_inside(cloud, "upgrade", "--cell", "cell1")
    cloud.unmap(first)
    # As the page says: links to files in a folder of nova's.
    ours, theirs = public / "cellmap-metrics", public / "node-exporter"
    ours.mkdir()
    theirs.mkdir()
    for instance in INSTANCES:
        name = f"cellmap_{instance}.prom"
        (theirs / name).symlink_to(ours / name)
    unmapped = 'cellmap_check_differences{kind="unmapped"}'
    codes = [written(cloud, instance, ours) for instance in INSTANCES]

    with watching(public, theirs, RULES) as prometheus:
        wait_for(lambda: prometheus.firing("CellmapDifferences"), "an alert")
        [alert] = prometheus.firing("CellmapDifferences")
        mapped = prometheus.values('cellmap_rows_total{outcome="mapped"}')
        before = prometheus.values(unmapped)
        repaired = cellmap_inside(cloud, "repair", "--cell", "cell1").code
        codes.append(written(cloud, "check", ours))
        wait_for(lambda: prometheus.values(unmapped) == [0], "the new file")
        wait_for(lambda: not prometheus.firing("CellmapDifferences"), "no alert")
        after = prometheus.values(unmapped)
        errors = prometheus.values("node_textfile_scrape_error")

    assert (codes, repaired) == ([0, 3, 0], 0)
    assert (alert["labels"]["cell"], alert["labels"]["name"]) == (cell.uuid, "cell1")
    assert alert["annotations"]["summary"] == (
        f"Cell cell1 ({cell.uuid}) differs from its mappings in 1 rows"
    )
    assert (mapped, before, after, errors) == ([3], [1], [0], [0])


def test_systemd_finds_nothing_wrong(
    cloud: Cloud, make_controller: MakeController
) -> None:
    controller = make_controller(cloud)
    names = [UNIT, *(f"cellmap-metrics@{instance}.timer" for instance in INSTANCES)]
    copied = 'cp "$@" /etc/systemd/system/'
    install = controller.sh(copied, *(str(FILES / name) for name in names))
    units = [
        f"/etc/systemd/system/cellmap-metrics@{instance}.{kind}"
        for instance in INSTANCES
        for kind in ("service", "timer")
    ]

    checked = controller.run("systemd-analyze", "verify", "--man=no", *units)

    assert install.code == 0
    assert (checked.code, checked.err) == (0, "")


@pytest.mark.only_on("mysql")
def test_unit_writes_files_that_node_exporter_may_read(
    make_cloud: MakeCloud, make_controller: MakeController
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.add_instances(3)
    controller = make_controller(cloud)
    unit = service()
    folder = f"/var/lib/{unit['StateDirectory']}"
    made = controller.run(
        *("install", "-d", "-o", unit["User"], "-g", unit["Group"]),
        *("-m", unit["StateDirectoryMode"], folder),
    )
    codes = [
        controller.sh(
            'umask "$1"; shift; exec runuser -u "$@"',
            *(unit["UMask"], unit["User"], "--", "env", "-i", unit["Environment"]),
            *shlex.split(unit["ExecStart"].replace("%i", instance)),
        ).code
        for instance in INSTANCES
    ]

    read = controller.run(
        *("runuser", "-u", "prometheus", "--"),
        *("sh", "-c", f"cat {folder}/*.prom"),
    )

    assert (made.code, codes) == (0, [0, 3])
    assert f'cellmap_complete{{cell="{cell.uuid}",name="cell1"}} 0.0' in read.out
    assert "cellmap_check_differences" in read.out


def test_code_3_is_a_success_because_the_metrics_have_the_differences() -> None:
    assert service()["SuccessExitStatus"] == "3"
