"""Run a server that listens on a port."""

from abc import abstractmethod
from functools import cached_property
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, Signals
from typing import ClassVar

import sqlalchemy as sa

from cellmap_migrations.testing.servers.base import HOST, PASSWORD, Server
from cellmap_migrations.testing.servers.daemon import Daemon, free_port, give


class NetworkServer(Server):
    """Run a server that listens on a free port of the loopback interface."""

    driver: ClassVar[str]
    account: ClassVar[str]
    admin_database: ClassVar[str]
    stop_signal: ClassVar[Signals]

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port = free_port()
        self.frozen = False
        give(folder, self.account)
        self.install()
        self.daemon = Daemon(
            self.command(),
            folder,
            self.port,
            account=self.account,
            stop_signal=self.stop_signal,
            ready=self.ready,
        )

    @abstractmethod
    def install(self) -> None:
        """Create the server's files, with the account of its administrator."""

    @abstractmethod
    def command(self) -> list[str]:
        """Return the command that serves the folder in the foreground."""

    def url(self, database: str, user: str) -> sa.URL:
        """Return a URL of this server."""
        return sa.URL.create(self.driver, user, PASSWORD, HOST, self.port, database)

    @cached_property
    def engine(self) -> sa.Engine:
        """Return the engine of the administrator."""
        url = self.url(self.admin_database, "admin")
        return sa.create_engine(url, isolation_level="AUTOCOMMIT", pool_pre_ping=True)

    def admin(self) -> sa.Engine:
        """Return an engine of the administrator in AUTOCOMMIT mode."""
        return self.engine

    def ready(self) -> bool:
        """Return True if the administrator can log in."""
        try:
            self.engine.connect().close()
        except sa.exc.DBAPIError:
            return False
        return True

    def start(self) -> None:
        """Start or thaw the server, unless it serves already."""
        self.thaw()
        if not self.daemon.running():
            # It may have died by itself, and its workers not yet.
            self.daemon.kill()
            self.daemon.start()

    def stop(self) -> None:
        """Shut down in the usual way; keep the databases for the next start."""
        self.engine.dispose()
        self.daemon.stop()

    def crash(self) -> None:
        """Kill every process of the server."""
        self.engine.dispose()
        self.daemon.signal_all(SIGKILL)
        self.daemon.kill()

    def freeze(self) -> None:
        """Stop every process of the server: connections hang, and are not closed."""
        self.frozen = True
        self.daemon.signal_all(SIGSTOP)

    def thaw(self) -> None:
        """Continue all processes of a frozen server."""
        if self.frozen:
            self.daemon.signal_all(SIGCONT)
            self.frozen = False

    def close(self) -> None:
        """Stop the server if it runs, and close its log."""
        self.thaw()
        self.stop()
        self.daemon.log.close()

    def execute(self, statement: str, **values: str) -> None:
        """Run a statement as the administrator; *values* are quoted in place."""
        literals: list[sa.BindParameter[str]] = [
            sa.bindparam(name, value, literal_execute=True)
            for name, value in values.items()
        ]
        with self.engine.connect() as connection:
            connection.execute(sa.text(statement).bindparams(*literals))
