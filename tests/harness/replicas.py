"""Run replicas of database servers, and delay them."""

import shutil
import tempfile
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import ClassVar, TypeVar

from cellmap_migrations.testing.servers import PASSWORD, folder_of_data
from cellmap_migrations.testing.servers.base import HOST
from cellmap_migrations.testing.servers.daemon import run
from cellmap_migrations.testing.servers.mariadb import MariaDB
from cellmap_migrations.testing.servers.network import NetworkServer
from cellmap_migrations.testing.servers.postgresql import PostgreSQL
from tests.harness.newer import MySQL9

STANDBY = "db2"


class Primary(MariaDB):
    """Run MariaDB with a binary log."""

    number: ClassVar = 1

    def command(self) -> list[str]:
        """Return the command that serves the folder in the foreground."""
        usual = [part for part in super().command() if part != "--skip-log-bin"]
        return [*usual, f"--server-id={self.number}", "--log-bin"]


class MySQLPrimary(MySQL9):
    """Run MySQL with a binary log, which is its default."""

    number: ClassVar = 1

    def command(self) -> list[str]:
        """Return the command that serves the folder in the foreground."""
        usual = [part for part in super().command() if part != "--skip-log-bin"]
        gtid = ["--gtid-mode=ON", "--enforce-gtid-consistency=ON"]
        return [*usual, *gtid, f"--server-id={self.number}"]


class Replica(NetworkServer):
    """Run a server that replicates all writes of *primary* from its start on."""

    number: ClassVar = 2
    # The last transaction in the primary's log, and the function that waits for it.
    position: ClassVar[str]
    wait_function: ClassVar[str]
    # The column of SHOW REPLICA STATUS.
    seconds_behind: ClassVar[str]

    def __init__(self, folder: Path, *, primary: NetworkServer) -> None:
        self.primary = primary
        super().__init__(folder)

    @property
    def name(self) -> str:
        """Return the name for the option ``replicas``."""
        return f"{HOST}:{self.port}"

    @abstractmethod
    def source(self, delay: int) -> str:
        """Return the statement that sets the primary, with a *delay* in seconds."""

    def follow(self, *, delay: int = 0) -> None:
        """Apply each write of the primary *delay* seconds after it."""
        self.execute("STOP REPLICA")
        self.execute(self.source(delay), password=PASSWORD)
        self.execute("START REPLICA")

    def catch_up(self) -> None:
        """Return when the replica has applied all that the primary has written."""
        with self.primary.admin().connect() as connection:
            end = connection.exec_driver_sql(f"SELECT {self.position}").scalar()
        with self.admin().connect() as connection:
            waited = connection.exec_driver_sql(
                f"SELECT {self.wait_function}('{end}', 300)"
            ).scalar()
        assert waited == 0

    def behind(self) -> bool:
        """Return True if the replica reports that it is behind."""
        with self.admin().connect() as connection:
            row = connection.exec_driver_sql("SHOW REPLICA STATUS").mappings().one()
        return bool(row[self.seconds_behind])


class MariaDBReplica(Replica, Primary):
    """Run a replica of MariaDB."""

    position: ClassVar = "@@gtid_binlog_pos"
    wait_function: ClassVar = "MASTER_GTID_WAIT"
    seconds_behind: ClassVar = "Seconds_Behind_Master"

    def install(self) -> None:
        """Copy the primary, which has not been started yet."""
        copy = ["cp", "-a", f"{self.primary.folder}/data", f"{self.folder}/data"]
        run(copy, self.folder, account=self.account)

    def source(self, delay: int) -> str:
        """Return the statement that sets the primary, with a *delay* in seconds."""
        return (
            f"CHANGE MASTER TO MASTER_HOST='{HOST}', MASTER_PORT={self.primary.port},"
            f" MASTER_USER='admin', MASTER_PASSWORD=:password, MASTER_DELAY={delay},"
            " MASTER_USE_GTID=slave_pos"
        )


class MySQLReplica(Replica, MySQLPrimary):
    """Run a replica of MySQL."""

    position: ClassVar = "@@gtid_executed"
    wait_function: ClassVar = "WAIT_FOR_EXECUTED_GTID_SET"
    seconds_behind: ClassVar = "Seconds_Behind_Source"

    def source(self, delay: int) -> str:
        """Return the statement that sets the primary, with a *delay* in seconds."""
        return (
            f"CHANGE REPLICATION SOURCE TO SOURCE_HOST='{HOST}',"
            f" SOURCE_PORT={self.primary.port}, SOURCE_USER='admin',"
            f" SOURCE_PASSWORD=:password, SOURCE_DELAY={delay},"
            " SOURCE_AUTO_POSITION=1, GET_SOURCE_PUBLIC_KEY=1"
        )


class Standby(PostgreSQL):
    """Run PostgreSQL as a standby of *primary*."""

    def __init__(self, folder: Path, *, primary: PostgreSQL) -> None:
        self.primary = primary
        super().__init__(folder)

    def install(self) -> None:
        """Copy the running primary; connect to it with the name STANDBY."""
        url = self.primary.url("postgres", "admin").set(
            drivername="postgresql", query={"application_name": STANDBY}
        )
        source = url.render_as_string(hide_password=False)
        copy = [self.program("pg_basebackup"), "-d", source, "-R", "-N"]
        run(
            [*copy, "-c", "fast", "-X", "stream", "-D", f"{self.folder}/data"],
            self.folder,
            account=self.account,
        )


@contextmanager
def folders_for(count: int) -> Iterator[list[Path]]:
    """Yield *count* folders that a server's account may enter; then remove them."""
    made = [
        Path(tempfile.mkdtemp(prefix="nova-", dir=folder_of_data()))
        for _ in range(count)
    ]
    try:
        yield made
    finally:
        for folder in made:
            shutil.rmtree(folder)


@contextmanager
def serving(*servers: NetworkServer) -> Iterator[None]:
    """Serve while the block runs; start the servers one after another."""
    with ExitStack() as stack:
        for server in servers:
            stack.callback(server.close)
            server.start()
        yield


R = TypeVar("R", bound=Replica)


@contextmanager
def replicating(primary_kind: type[NetworkServer], kind: type[R]) -> Iterator[R]:
    """Yield a replica of a new primary."""
    with folders_for(2) as [first, second]:
        primary = primary_kind(first)
        replica = kind(second, primary=primary)
        with serving(primary, replica):
            replica.follow()
            yield replica
