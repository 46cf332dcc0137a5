"""Start a program that stands in front of database servers."""

from collections.abc import Sequence
from pathlib import Path
from signal import SIGTERM

from cellmap_migrations.testing.servers.daemon import Daemon, give


class Front:
    """Run a proxy or a pooler that listens on *port*, until it is closed."""

    def __init__(
        self, command: Sequence[str], folder: Path, port: int, *, account: str
    ) -> None:
        """Start *command*, whose files are in *folder*, as *account*."""
        self.port = port
        for path in (folder, *folder.iterdir()):
            give(path, account)
        self.daemon = Daemon(
            command,
            folder,
            port,
            account=account,
            stop_signal=SIGTERM,
            ready=lambda: True,
        )
        self.daemon.start()

    def close(self) -> None:
        """Kill the program; this cuts all connections through it."""
        self.daemon.kill()
        self.daemon.log.close()
