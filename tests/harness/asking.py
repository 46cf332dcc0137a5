"""Run code of one release of nova in that release's environment."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cellmap_migrations.testing.process import Finished, environment
from tests.harness.cloud import ROOT


@dataclass(frozen=True, kw_only=True)
class Release:
    """Describe a release of nova: its folder, and its differences from the others.

    *schema* is what its tables are called in cellmap_migrations.testing. *fault* is the
    code with which its nova-manage ends on any error: 1 until Train, when that also
    meant that there is more to do.
    """

    number: str
    folder: str
    schema: str
    has_hidden: bool
    fault: int

    @property
    def bin(self) -> Path:
        """Return the folder of its programs."""
        return ROOT / self.folder / "bin"


NEWEST = Release(
    number="34.0.0", folder=".venv-nova", schema="34", has_hidden=True, fault=255
)


class Nova:
    """Run tests/harness/answering.py in the environment of one release."""

    def __init__(self, release: Release) -> None:
        self.release = release
        python = release.bin / "python"
        if not python.exists():
            message = f"{python} is missing; run make test, which installs nova"
            raise FileNotFoundError(message)
        # Without eventlet's patches, which nova 19 looks for in an oslo.service that
        # this Python cannot run.
        self.process = subprocess.Popen(
            [str(python), "-W", "ignore", "-m", "tests.harness.answering"],
            cwd=ROOT,
            env=environment({"OS_NOVA_DISABLE_EVENTLET_PATCHING": "1"}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, program: str, *arguments: str, env: dict[str, str]) -> Finished:
        """Run one of nova's programs in a new process."""
        return self.ask(program=program, arguments=arguments, env=env)

    def call(self, verb: str, about: object, *arguments: str) -> Any:
        """Return the answer of nova's code; a failure shows nova's traceback."""
        done = self.ask(verb=verb, about=about, arguments=arguments, env={})
        assert done.code == 0, done.err
        return json.loads(done.out)

    def ask(self, **request: object) -> Finished:
        """Send one request, and wait for its answer."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{json.dumps(request)}\n")
        self.process.stdin.flush()
        return Finished(**json.loads(self.process.stdout.readline()))

    def close(self) -> None:
        """End the process."""
        self.process.communicate()
