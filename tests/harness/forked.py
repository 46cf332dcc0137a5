"""Fork commands from a process that has imported the package already."""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from cellmap_migrations.testing.process import Running, environment
from tests.harness import second_look

MODULES = ("alembic", "cellmap_migrations.cli", "tests.harness.moment")

# Prefixes of variables that are read only after the start of Python.
LATE = ("OS_", "MOMENT")


def can_be_forked(arguments: Sequence[str], env: Mapping[str, str | None]) -> bool:
    """Return True if *arguments* name our module, and *env* matters to it only."""
    of_ours = arguments[0] == "-m" and arguments[1] in MODULES
    return of_ours and all(name.startswith(LATE) for name in env)


@cache
def server() -> socket.socket:
    """Start tests/harness/forking.py once; return the socket for its requests."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.harness.forking", str(its.fileno())],
            cwd=Path(__file__).parents[2],
            env=environment({}),
            pass_fds=[its.fileno()],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    atexit.register(process.wait)
    atexit.register(ours.close)
    return ours


class Forked(Running):
    """Run ``python -m`` of a module in a forked process; see Running."""

    process: "Process"

    def begin(
        self, command: Sequence[str], env: Mapping[str, str], cwd: Path | None
    ) -> "Process":
        """Start the process."""
        request = {
            "command": command,
            "env": env,
            "cwd": cwd and str(cwd),
            "look_again": second_look.seconds(),
        }
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            files = [*(file.fileno() for file in self.files), its.fileno()]
            socket.send_fds(server(), [json.dumps(request).encode()], files)
        return Process(ours)

    def close(self) -> None:
        """Kill the process if it runs, and delete its output."""
        super().close()
        self.process.told.close()


class Process:
    """Implement the part of subprocess.Popen that Running needs."""

    def __init__(self, told: socket.socket) -> None:
        self.told = told
        self.pid = int(told.recv(100))
        self.code: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, or None while the process runs."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code; raise TimeoutExpired."""
        if self.code is None:
            self.told.settimeout(timeout)
            try:
                self.code = int(self.told.recv(100))
            except (BlockingIOError, TimeoutError):
                raise subprocess.TimeoutExpired("", timeout or 0) from None
        return self.code

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal if the process runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)
