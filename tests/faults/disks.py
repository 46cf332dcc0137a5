"""Servers with file systems of their own, which a test can fill to the last byte."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cellmap_migrations.testing.servers.daemon import give, run
from cellmap_migrations.testing.servers.network import NetworkServer
from cellmap_migrations.testing.servers.postgresql import PostgreSQL
from tests.harness.replicas import Primary, folders_for, serving
from tests.harness.waiting import wait_for

ROOM = "2g"


class Disk:
    """A file system in memory, mounted at *folder* until it is closed."""

    def __init__(self, folder: Path, account: str) -> None:
        self.folder = folder
        folder.mkdir()
        mount("-t", "tmpfs", "-o", f"size={ROOM},mode=750", "tmpfs", str(folder))
        give(folder, account)

    def fill(self) -> None:
        """Leave no room to anybody, as if others had taken it."""
        # Somebody may just take a bit more, and then it cannot be as small as this.
        wait_for(self.shrink, "no room left")

    def shrink(self) -> bool:
        """Say whether the file system is as small as what is in it."""
        found = os.statvfs(self.folder)
        used = (found.f_blocks - found.f_bfree) * found.f_frsize
        command = ["mount", "-o", f"remount,size={used}", str(self.folder)]
        done = subprocess.run(command, check=False, stderr=subprocess.DEVNULL)
        return done.returncode == 0

    def clear(self) -> None:
        """Give all the room back."""
        mount("-o", f"remount,size={ROOM}", str(self.folder))

    def close(self) -> None:
        """Unmount, also while a server has files open there."""
        subprocess.run(["umount", "--lazy", self.folder], check=True)


def mount(*arguments: str) -> None:
    """Mount, which needs root."""
    subprocess.run(["mount", *arguments], check=True)


class MariaDB(Primary):
    """MariaDB whose binary log is in another folder than its tables."""

    def command(self) -> list[str]:
        """Return the command that serves the folder in the foreground."""
        return [*super().command(), f"--log-bin={self.folder}/log/bin"]


class PostgreSQLWithLog(PostgreSQL):
    """PostgreSQL whose write-ahead log is in another folder than its tables."""

    def install(self) -> None:
        """Move the log, as an operator does who has a disk for it."""
        super().install()
        there, link = f"{self.folder}/log/pg_wal", f"{self.folder}/data/pg_wal"
        run(["mv", link, there], self.folder, account=self.account)
        run(["ln", "-s", there, link], self.folder, account=self.account)


KINDS: dict[str, type[NetworkServer]] = {
    "mysql": MariaDB,
    "postgresql": PostgreSQLWithLog,
}


@dataclass(frozen=True, kw_only=True)
class Small:
    """A server, and the file systems of its tables and of its log."""

    server: NetworkServer
    tables: Disk
    log: Disk


@contextmanager
def small_server(backend: str) -> Iterator[Small]:
    """Serve from disks that can be filled; none of them outlives the block."""
    kind = KINDS[backend]
    with ExitStack() as stack:
        folder = stack.enter_context(folders_for(1))[0]
        disks = []
        for name in ("data", "log"):
            disks.append(Disk(folder / name, kind.account))
            stack.callback(disks[-1].close)
        server = kind(folder)
        stack.enter_context(serving(server))
        yield Small(server=server, tables=disks[0], log=disks[1])
