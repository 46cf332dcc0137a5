"""Install the package as a distribution does, and make a hostile folder."""

import os
import shutil
import stat
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.harness.cloud import ROOT

PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")

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

TRACE = "import pathlib; pathlib.Path({trace!r}).touch()\n"

# What -m imports from the current folder is Python's business and not Alembic's.
ALEMBIC = """
import sys
sys.path.remove("")
from alembic.config import main
main(prog="alembic")
"""


class Installed:
    """Install a wheel of the checkout in *folder* beside this Python's libraries."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "venv" / "bin"
        venv.create(folder / "venv")
        build = ["wheel", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
        subprocess.run([*PIP, *build], check=True)
        wheel = str(next(folder.glob("*.whl")))
        install = ["--python", str(self.python), "install", "--no-deps", "--no-index"]
        subprocess.run([*PIP, *install, wheel], check=True)
        # Ours comes first; the checkout's editable install is not followed from here.
        (self.site / "libraries.pth").write_text(f"{self.libraries()}\n")

    def libraries(self) -> Path:
        """Return this Python's libraries, copied if other users may not read them."""
        libraries = Path(sysconfig.get_path("purelib"))
        if all(parent.stat().st_mode & stat.S_IXOTH for parent in libraries.parents):
            return libraries
        return Path(shutil.copytree(libraries, self.folder / "libraries"))

    @property
    def python(self) -> Path:
        """Return the interpreter that finds the wheel and not the checkout."""
        return self.bin / "python"

    @property
    def site(self) -> Path:
        """Return the folder in which the wheel is installed."""
        return next((self.folder / "venv" / "lib").glob("python*/site-packages"))

    @property
    def ini(self) -> Path:
        """Return the alembic.ini of the wheel."""
        return self.site / "cellmap_migrations" / "conf" / "alembic.ini"

    def share(self, config: Path) -> Path:
        """Copy a nova.conf to a place that other users can read."""
        shared = self.folder / config.name
        shared.write_text(config.read_text())
        return shared

    def alembic(self, config: Path, cell: str, *arguments: str) -> Sequence[str]:
        """Return the command that runs alembic with this nova.conf on a cell."""
        options = ("-c", str(self.ini), "-x", f"config_file={config}")
        return (
            *(str(self.python), "-m", "alembic", *options, "-x", f"cell={cell}"),
            *arguments,
        )

    def cellmap(self, config: Path, *arguments: str) -> Sequence[str]:
        """Return a command of the console script with this nova.conf."""
        return (str(self.bin / "cellmap"), "--config-file", str(config), *arguments)


def make_hostile(folder: Path) -> Path:
    """Fill a folder with code that must not run; return the file that it creates."""
    trace = folder / "trace"
    hostile = folder / "hostile"
    hostile.mkdir()
    for name in ("env.py", "0001_hostile.py", "oslo_config.py", "sitecustomize.py"):
        (hostile / name).write_text(TRACE.format(trace=str(trace)))
    (folder / "pyproject.toml").write_text(HOSTILE.format(here=folder))
    return trace


def unprivileged() -> dict[str, Any]:
    """Return the arguments of Popen for the user nobody, or none unless we are root."""
    if os.geteuid() != 0:
        return {}
    return {"user": "nobody", "group": "nogroup", "extra_groups": []}
