"""Run commands in separate processes."""

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, Signals
from typing import IO, Any, TypeAlias

from cellmap_migrations.testing.servers import SECRETS

# Seconds. Enough for every command, even on a busy machine.
TIMEOUT = 600

# Values of -x options by name: a list repeats an option, None omits it.
Extra: TypeAlias = Mapping[str, str | list[str] | None]


@dataclass(frozen=True, kw_only=True)
class Finished:
    """Hold exit code and output of a command; fail if the output has a secret."""

    code: int
    out: str
    err: str

    def __post_init__(self) -> None:
        for secret in SECRETS:
            if secret in self.out + self.err:
                message = f"secret leaked\nstdout:\n{self.out}\nstderr:\n{self.err}"
                raise AssertionError(message)


class Running:
    """Start a command, and collect its output in files."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str | None] | None = None,
        cwd: Path | None = None,
    ) -> None:
        # Not pipes: a command blocks on a full pipe that the test does not read.
        self.files = temporary_file(), temporary_file()
        self.process = self.begin(command, environment(env or {}), cwd)

    def begin(
        self, command: Sequence[str], env: Mapping[str, str], cwd: Path | None
    ) -> Any:
        """Start the process; return a Popen, or an object with its interface."""
        return subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=self.files[0],
            stderr=self.files[1],
            # The terminal must not send a signal of the test run to the command.
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Return the process id."""
        return int(self.process.pid)

    def running(self) -> bool:
        """Return True until the command has ended."""
        return bool(self.process.poll() is None)

    def signal(self, number: Signals) -> None:
        """Send a signal, unless the process has ended."""
        self.process.send_signal(number)

    def kill9(self) -> Finished:
        """Send SIGKILL, and wait for the end."""
        self.signal(SIGKILL)
        return self.wait()

    def freeze(self) -> None:
        """Send SIGSTOP."""
        self.signal(SIGSTOP)

    def frozen(self) -> bool:
        """Return True if SIGSTOP has stopped the process."""
        stat = Path(f"/proc/{self.pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "T"

    def thaw(self) -> None:
        """Send SIGCONT."""
        self.signal(SIGCONT)

    def wait(self, timeout: float = TIMEOUT) -> Finished:
        """Wait for the end; after *timeout* seconds kill the process and fail."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            message = f"no end after {timeout} s\n{self.out}\n{self.err}"
            raise AssertionError(message) from None
        return Finished(code=code, out=self.out, err=self.err)

    @property
    def out(self) -> str:
        """Return the output on stdout so far."""
        return content(self.files[0])

    @property
    def err(self) -> str:
        """Return the output on stderr so far."""
        return content(self.files[1])

    def close(self) -> None:
        """Kill the process if it runs, and delete its output."""
        if self.running():
            self.process.kill()
            self.process.wait()
        for file in self.files:
            file.close()


def temporary_file() -> IO[bytes]:
    """Return a file without a name, which is deleted when it is closed."""
    return tempfile.TemporaryFile()


def content(file: IO[bytes]) -> str:
    """Return the content of *file*, without moving its shared position."""
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode()


def environment(changes: Mapping[str, str | None]) -> dict[str, str]:
    """Return this environment without ``OS_*``, and with *changes*; None removes."""
    ours = {name: value for name, value in os.environ.items() if name[:3] != "OS_"}
    merged = {**ours, **changes}
    return {name: value for name, value in merged.items() if value is not None}


def x_options(*groups: Extra) -> list[str]:
    """Return ``-x`` arguments; a later group overrides the options of an earlier."""
    merged = {name: value for group in groups for name, value in group.items()}
    listed = {
        name: value if isinstance(value, list) else [value]
        for name, value in merged.items()
        if value is not None
    }
    return [
        part
        for name, values in listed.items()
        for value in values
        for part in ("-x", f"{name}={value}")
    ]
