"""The ways to start an upgrade: what an operator has installed, and where."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cellmap_migrations.testing.process import Finished, environment
from tests.harness.cloud import ROOT
from tests.harness.wheel import ALEMBIC, Installed, unprivileged

# The way that is left when each of three cells was upgraded in another one.
LAST = "cellmap of the checkout"

SCRIPTS = Path(sys.executable).parent

# The two ways to say it, with {conf} and {cell} to be filled in.
BY_ALEMBIC = "-x config_file={conf} -x cell={cell} upgrade head"

BY_CELLMAP = "--config-file {conf} upgrade --cell {cell}"


@dataclass(frozen=True, kw_only=True)
class Way:
    """A command that upgrades cells, and how to run it."""

    command: Sequence[str]
    says: str
    folder: Path
    popen: dict[str, Any]

    def upgrade(self, cell: str, nova_conf: Path) -> Finished:
        """Upgrade a cell to the last revision."""
        given = self.says.format(conf=nova_conf, cell=cell)
        done = subprocess.run(
            [*self.command, *given.split()],
            cwd=self.folder,
            check=False,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            **self.popen,
        )
        return Finished(code=done.returncode, out=done.stdout, err=done.stderr)


def ways(installed: Installed, hostile: Path) -> dict[str, Way]:
    """Return the ways by name; the wheel is used by nobody, in a hostile folder."""
    here: dict[str, Any] = {"folder": ROOT, "popen": {"env": environment({})}}
    bare = {"env": {"LC_ALL": "C"}, **unprivileged()}
    there: dict[str, Any] = {"folder": hostile, "popen": bare}
    alembic = [str(installed.python), "-c", ALEMBIC, "-c", str(installed.ini)]
    return {
        "alembic of the checkout": Way(
            command=[str(SCRIPTS / "alembic")], says=BY_ALEMBIC, **here
        ),
        "alembic of the wheel": Way(command=alembic, says=BY_ALEMBIC, **there),
        "cellmap of the wheel": Way(
            command=[str(installed.bin / "cellmap")], says=BY_CELLMAP, **there
        ),
        LAST: Way(command=[str(SCRIPTS / "cellmap")], says=BY_CELLMAP, **here),
    }
