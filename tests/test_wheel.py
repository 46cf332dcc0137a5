"""The wheel works where nothing else does."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.books import HEAD
from tests.conftest import MakeCloud
from tests.nova.cloud import ROOT

HOSTILE = """
[tool.alembic]
script_location = "{here}/hostile"
prepend_sys_path = ["{here}/hostile"]
version_locations = ["{here}/hostile"]
[[tool.alembic.post_write_hooks]]
name = "hostile"
type = "exec"
executable = "{here}/hostile/hook"
"""
# What -m imports from the current folder is Python's business and not Alembic's.
MAIN = """
import sys
sys.path.remove("")
from alembic.config import main
main(prog="alembic")
"""
TRACE = "import pathlib; pathlib.Path({trace!r}).touch()\n"


@pytest.fixture(scope="module")
def installed() -> Iterator[Path]:
    """Build the wheel, and install it beside the libraries of this Python."""
    # Not pytest's own folder: only root may enter that.
    folder = Path(tempfile.mkdtemp(prefix="wheel-"))
    folder.chmod(0o755)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(build, check=True)
    venv.create(folder / "venv")
    site = next((folder / "venv" / "lib").glob("python*/site-packages"))
    wheel = next(folder.glob("*.whl"))
    install = [*pip, "install", "--no-deps", "--no-index", f"--target={site}", wheel]
    subprocess.run([str(part) for part in install], check=True)
    # Ours comes first; the checkout's editable install is not followed from here.
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    yield folder
    shutil.rmtree(folder)


def config(installed: Path) -> Path:
    """Return the alembic.ini that the wheel brings."""
    return next(installed.glob("venv/lib/python*/site-packages/*/conf/alembic.ini"))


def unprivileged() -> dict[str, Any]:
    """Return how Popen runs a command as nobody, or nothing unless we are root."""
    if os.geteuid() != 0:
        return {}
    return {"user": "nobody", "group": "nogroup", "extra_groups": []}


def test_ini_of_the_checkout_is_that_of_the_wheel(installed: Path) -> None:
    assert (ROOT / "alembic.ini").read_text() == config(installed).read_text()


@pytest.mark.only_on("mysql", "postgresql")
def test_upgrade_with_nothing_but_the_wheel(
    make_cloud: MakeCloud, installed: Path
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(3)
    conf = installed / f"nova-{cloud.number}.conf"
    conf.write_text(cloud.config_file.read_text())

    command = f"""exec env -i LC_ALL=C {installed}/venv/bin/python -m alembic \
        -c {config(installed)} -x config_file={conf} -x cell=cell1 upgrade head \
        <&- >&- 2>&-"""
    done = subprocess.run(
        ["/bin/sh", "-c", command], cwd="/", check=False, **unprivileged()
    )

    assert done.returncode == 0
    assert cloud.mapped_uuids(cell) == set(uuids)
    assert cloud.versions() == {cell.uuid: HEAD}


@pytest.mark.only_on("sqlite")
def test_pyproject_of_the_current_folder_runs_nothing(
    make_cloud: MakeCloud, installed: Path, tmp_path: Path
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.add_instances(3)
    trace = tmp_path / "trace"
    hostile = tmp_path / "hostile"
    hostile.mkdir()
    for name in ("env.py", "0001_hostile.py", "oslo_config.py", "sitecustomize.py"):
        (hostile / name).write_text(TRACE.format(trace=str(trace)))
    (tmp_path / "pyproject.toml").write_text(HOSTILE.format(here=tmp_path))

    done = subprocess.run(
        [
            str(installed / "venv/bin/python"),
            "-c",
            MAIN,
            "-c",
            str(config(installed)),
            *("-x", f"config_file={cloud.config_file}", "-x", "cell=cell1"),
            *("upgrade", "head"),
        ],
        cwd=tmp_path,
        check=False,
    )

    assert done.returncode == 0
    assert not trace.exists()
    assert cloud.versions() == {cell.uuid: HEAD}


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
