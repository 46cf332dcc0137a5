"""shellcheck finds nothing in the scripts that this project ships or runs."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.cloud import ROOT

SCRIPTS = [
    *sorted((ROOT / "contrib" / "debian").glob("cellmap.[cp]*")),
    ROOT / "contrib" / "grenade" / "upgrade.sh",
    *sorted((ROOT / "tools").glob("install-*")),
    ROOT / "tools" / "test-lowest",
]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_finds_nothing(script: Path) -> None:
    shellcheck = Path(sys.executable).with_name("shellcheck")
    # debconf's own library is not where its packages are built.
    command = [str(shellcheck), "--exclude=SC1091", str(script)]

    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)

    assert (finished.returncode, finished.stdout) == (0, "")
