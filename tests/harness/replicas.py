"""Replicas of the test run's servers, which can be held back."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cellmap_migrations.testing.servers import PASSWORD
from cellmap_migrations.testing.servers.base import HOST
from cellmap_migrations.testing.servers.daemon import run
from cellmap_migrations.testing.servers.mariadb import MariaDB
from cellmap_migrations.testing.servers.network import NetworkServer
from cellmap_migrations.testing.servers.postgresql import PostgreSQL
from tests.harness.newer import MySQL9

STANDBY = "db2"


class Primary(MariaDB):
    """MariaDB that writes a binary log."""

    number = 1

    def command(self) -> list[str]:
        """Return the command that serves the folder in the foreground."""
        usual = [part for part in super().command() if part != "--skip-log-bin"]
        return [*usual, f"--server-id={self.number}", "--log-bin"]


class Replica(Primary):
    """MariaDB that replicates everything from its primary's start on."""

    number = 2

    def __init__(self, folder: Path, *, primary: Primary) -> None:
        self.primary = primary
        super().__init__(folder)

    @property
    def name(self) -> str:
        """What an operator writes into ``replicas``."""
        return f"{HOST}:{self.port}"

    def install(self) -> None:
        """Copy the primary, which has not been started yet."""
        copy = ["cp", "-a", f"{self.primary.folder}/data", f"{self.folder}/data"]
        run(copy, self.folder, account=self.account)

    def follow(self) -> None:
        """Apply what the primary has written and will write."""
        self.execute(
            f"CHANGE MASTER TO MASTER_HOST='{HOST}', MASTER_PORT={self.primary.port},"
            " MASTER_USER='admin', MASTER_PASSWORD=:password,"
            " MASTER_USE_GTID=slave_pos",
            password=PASSWORD,
        )
        self.execute("START SLAVE")

    def catch_up(self) -> None:
        """Return when everything is here that the primary has written by now."""
        with self.primary.admin().connect() as connection:
            reached = connection.exec_driver_sql("SELECT @@gtid_binlog_pos").scalar()
        with self.admin().connect() as connection:
            waited = connection.exec_driver_sql(
                f"SELECT MASTER_GTID_WAIT('{reached}', 30)"
            ).scalar()
        assert waited == 0


class MySQLPrimary(MySQL9):
    """MySQL that writes a binary log, as it does by default."""

    number = 1

    def command(self) -> list[str]:
        """Return the command that serves the folder in the foreground."""
        usual = [part for part in super().command() if part != "--skip-log-bin"]
        gtid = ["--gtid-mode=ON", "--enforce-gtid-consistency=ON"]
        return [*usual, *gtid, f"--server-id={self.number}"]


class MySQLReplica(MySQLPrimary):
    """MySQL that replicates everything from its primary's start on."""

    number = 2

    def __init__(self, folder: Path, *, primary: MySQLPrimary) -> None:
        self.primary = primary
        super().__init__(folder)

    @property
    def name(self) -> str:
        """What an operator writes into ``replicas``."""
        return f"{HOST}:{self.port}"

    def follow(self, *, delay: int = 0) -> None:
        """Apply what the primary has written and will write, *delay* seconds later."""
        self.execute("STOP REPLICA")
        self.execute(
            f"CHANGE REPLICATION SOURCE TO SOURCE_HOST='{HOST}',"
            f" SOURCE_PORT={self.primary.port}, SOURCE_USER='admin',"
            f" SOURCE_PASSWORD=:password, SOURCE_DELAY={delay},"
            " SOURCE_AUTO_POSITION=1, GET_SOURCE_PUBLIC_KEY=1",
            password=PASSWORD,
        )
        self.execute("START REPLICA")

    def catch_up(self) -> None:
        """Return when everything is here that the primary has written by now."""
        with self.primary.admin().connect() as connection:
            reached = connection.exec_driver_sql("SELECT @@gtid_executed").scalar()
        with self.admin().connect() as connection:
            waited = connection.exec_driver_sql(
                f"SELECT WAIT_FOR_EXECUTED_GTID_SET('{reached}', 300)"
            ).scalar()
        assert waited == 0

    def behind(self) -> bool:
        """Return True if the replica says that it is behind."""
        with self.admin().connect() as connection:
            row = connection.exec_driver_sql("SHOW REPLICA STATUS").mappings().one()
        return bool(row["Seconds_Behind_Source"])


class Standby(PostgreSQL):
    """PostgreSQL that replays what its primary writes."""

    def __init__(self, folder: Path, *, primary: PostgreSQL) -> None:
        self.primary = primary
        super().__init__(folder)

    def install(self) -> None:
        """Copy the primary; the standby tells it its name."""
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
    """Make folders that servers may enter, and remove them."""
    made = [Path(tempfile.mkdtemp(prefix="nova-")) for _ in range(count)]
    try:
        yield made
    finally:
        for folder in made:
            shutil.rmtree(folder)


@contextmanager
def serving(*servers: NetworkServer) -> Iterator[None]:
    """Start servers one after another, and end them."""
    with ExitStack() as stack:
        for server in servers:
            stack.callback(server.close)
            server.start()
        yield
