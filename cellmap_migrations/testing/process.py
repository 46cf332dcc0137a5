"""Commands run as an operator runs them: in processes of their own."""

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, Signals
from typing import IO, Any, TypeAlias

from cellmap_migrations.testing.servers import SECRETS

# Seconds. Far more than a command needs on a machine that is busy with other work.
TIMEOUT = 600

# -x options by name; a list for a repeated one, None for one that is not given.
Extra: TypeAlias = Mapping[str, str | list[str] | None]


@dataclass(frozen=True, kw_only=True)
class Finished:
    """How a command ended and what it printed; never a part of a password."""

    code: int
    out: str
    err: str

    def __post_init__(self) -> None:
        for secret in SECRETS:
            if secret in self.out + self.err:
                message = f"secret leaked\nstdout:\n{self.out}\nstderr:\n{self.err}"
                raise AssertionError(message)


class Running:
    """A command that was started and whose output goes to files."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str | None] | None = None,
        cwd: Path | None = None,
    ) -> None:
        # Files and not pipes: nobody has to read for the command to go on.
        self.files = temporary_file(), temporary_file()
        self.process = self.begin(command, environment(env or {}), cwd)

    def begin(
        self, command: Sequence[str], env: Mapping[str, str], cwd: Path | None
    ) -> Any:
        """Start the process; return what has the interface of Popen."""
        return subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=self.files[0],
            stderr=self.files[1],
            # A signal for the test run is none for the command, and the reverse.
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """The process id."""
        return int(self.process.pid)

    def running(self) -> bool:
        """Say whether the command has not ended yet."""
        return bool(self.process.poll() is None)

    def signal(self, number: Signals) -> None:
        """Send a signal, if there is somebody to receive it."""
        self.process.send_signal(number)

    def kill9(self) -> Finished:
        """Kill without a chance to tidy up."""
        self.signal(SIGKILL)
        return self.wait()

    def freeze(self) -> None:
        """Stop the process where it is."""
        self.signal(SIGSTOP)

    def frozen(self) -> bool:
        """Say whether the process is stopped."""
        stat = Path(f"/proc/{self.pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "T"

    def thaw(self) -> None:
        """Let it go on."""
        self.signal(SIGCONT)

    def wait(self, timeout: float = TIMEOUT) -> Finished:
        """Wait for the end; kill what takes too long, and fail the test."""
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
        """What is on stdout so far."""
        return content(self.files[0])

    @property
    def err(self) -> str:
        """What is on stderr so far."""
        return content(self.files[1])

    def close(self) -> None:
        """Kill what still runs and forget the output."""
        if self.running():
            self.process.kill()
            self.process.wait()
        for file in self.files:
            file.close()


def temporary_file() -> IO[bytes]:
    """Return a file that nobody else sees and that is gone when it is closed."""
    return tempfile.TemporaryFile()


def content(file: IO[bytes]) -> str:
    """Return what a process wrote so far, without moving where it writes next."""
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode()


def environment(changes: Mapping[str, str | None]) -> dict[str, str]:
    """Return ours without what oslo.config reads of it, then changed; None removes."""
    ours = {name: value for name, value in os.environ.items() if name[:3] != "OS_"}
    merged = {**ours, **changes}
    return {name: value for name, value in merged.items() if value is not None}


def x_options(*groups: Extra) -> list[str]:
    """Return ``-x`` options; a later group replaces what an earlier one says."""
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
