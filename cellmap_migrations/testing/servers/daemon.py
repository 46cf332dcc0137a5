"""Start and stop a server process of the test run."""

import os
import random
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from mirakuru import ExecutorError, TCPExecutor

from cellmap_migrations.testing.servers.base import HOST, NotInstalled

START_SECONDS = 300


class Daemon(TCPExecutor):
    """Run *command* as a process, whose log is ``server.log``."""

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        port: int,
        *,
        account: str,
        stop_signal: signal.Signals,
        ready: Callable[[], bool],
    ) -> None:
        self.ready = ready
        self.log = (folder / "server.log").open("a")
        super().__init__(
            list(command),
            HOST,
            port,
            cwd=str(folder),
            timeout=START_SECONDS,
            sleep=0.02,
            stop_signal=stop_signal,
            expected_returncode=0,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            popen_kwargs=identity(account),
        )

    def start(self) -> "Daemon":
        """Start and wait for a login; a failure shows the server's own log."""
        try:
            return super().start()
        except ExecutorError as error:
            message = f"{error}\n{Path(self.log.name).read_text()}"
            raise RuntimeError(message) from error

    def after_start_check(self) -> bool:
        """Wait for a login: the port opens before the server serves."""
        return bool(super().after_start_check()) and self.ready()

    def signal_all(self, number: signal.Signals) -> None:
        """Send a signal to the server and its workers, which leave its group."""
        if self.process is not None and self.running():
            signal_family(self.process.pid, number)


def signal_family(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process, then to all that it has started by then."""
    # Workers come and go, so any of them may have ended by the time it is named.
    with suppress(ProcessLookupError, FileNotFoundError):
        os.kill(pid, number)
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                signal_family(int(child), number)


def identity(account: str) -> dict[str, Any]:
    """Return how Popen runs a server that refuses root, or nothing for others."""
    if os.geteuid() != 0:
        return {}
    return {"user": account, "group": account, "extra_groups": []}


def give(folder: Path, account: str) -> None:
    """Make *folder* the property of the account that the server runs as."""
    if os.geteuid() == 0:
        shutil.chown(folder, account, account)


def run(command: Sequence[str], folder: Path, *, account: str) -> None:
    """Run a command to its end; on failure raise with all that it printed."""
    done = subprocess.run(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        **identity(account),
    )
    if done.returncode != 0:
        message = f"{command[0]} ended with {done.returncode}:\n{done.stdout}"
        raise RuntimeError(message)


def find(program: str, *folders: str, package: str) -> str:
    """Return the path of a server's program, which is seldom on PATH.

    Raises NotInstalled with the Debian *package* that has it.
    """
    path = os.pathsep.join([*folders, os.environ.get("PATH", os.defpath)])
    found = shutil.which(program, path=path)
    if found is None:
        install = f"apt-get install --no-install-recommends {package}"
        raise NotInstalled(f"{program} is not installed; on Debian: {install}")
    return found


def find_file(*paths: str) -> str:
    """Return the first of *paths* that is there, such as a library."""
    found = next((path for path in paths if Path(path).exists()), None)
    if found is None:
        message = f"{paths[0]} is not installed; run 'make servers'"
        raise NotInstalled(message)
    return found


def free_port() -> int:
    """Return a port that nobody listens on.

    Below the range that the kernel gives to clients: a port from there could be
    taken by a client while the server is stopped, also by one that knocks at it.
    """
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) != 0:
                return port
    message = "no free port between 20000 and 32000"
    raise RuntimeError(message)
