"""The wheel works where nothing else does."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import MakeCloud
from tests.harness import readme
from tests.harness.books import HEAD
from tests.harness.cloud import ROOT
from tests.harness.wheel import ALEMBIC, Installed, make_hostile, unprivileged


def test_ini_of_the_checkout_is_that_of_the_wheel(installed: Installed) -> None:
    assert (ROOT / "alembic.ini").read_text() == installed.ini.read_text()


@pytest.mark.only_on("mysql", "postgresql")
def test_upgrade_with_nothing_but_the_wheel(
    make_cloud: MakeCloud, installed: Installed
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(3)
    conf = installed.share(cloud.config_file)
    closed = 'exec env -i LC_ALL=C "$@" <&- >&- 2>&-'

    command = installed.alembic(conf, "cell1", "upgrade", "head")
    done = subprocess.run(
        ["/bin/sh", "-c", closed, "sh", *command],
        cwd="/",
        check=False,
        **unprivileged(),
    )

    assert done.returncode == 0
    assert cloud.mapped_uuids(cell) == set(uuids)
    assert cloud.versions() == {cell.uuid: HEAD}


@pytest.mark.only_on("sqlite")
def test_pyproject_of_the_current_folder_runs_nothing(
    make_cloud: MakeCloud, installed: Installed, tmp_path: Path
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.add_instances(3)
    trace = make_hostile(tmp_path)

    done = subprocess.run(
        [
            str(installed.python),
            "-c",
            ALEMBIC,
            "-c",
            str(installed.ini),
            *("-x", f"config_file={cloud.config_file}", "-x", "cell=cell1"),
            *("upgrade", "head"),
        ],
        cwd=tmp_path,
        check=False,
    )

    assert done.returncode == 0
    assert not trace.exists()
    assert cloud.versions() == {cell.uuid: HEAD}


def test_example_of_the_page_passes_with_nothing_but_the_wheel(
    installed: Installed, tmp_path: Path
) -> None:
    [example] = readme.blocks("python")
    (tmp_path / "test_example.py").write_text(example)

    done = subprocess.run(
        [installed.python, "-m", "pytest", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_options_are_known_to_the_sample_generator() -> None:
    command = [
        sys.executable,
        "-m",
        "oslo_config.generator",
        *("--namespace", "cellmap"),
    ]

    sample = subprocess.check_output(command, text=True)

    assert "[cellmap]" in sample
    assert "#batch_seconds = 0.5" in sample
