"""PgBouncer before the tests' PostgreSQL."""

from pathlib import Path
from signal import SIGINT

from cellmap_migrations.testing.servers import PASSWORD
from cellmap_migrations.testing.servers.base import HOST
from cellmap_migrations.testing.servers.daemon import Daemon, find, free_port, give

# As Debian runs it; it refuses root.
ACCOUNT = "postgres"

CONFIG = """
[databases]
* = host={host} port={server}

[pgbouncer]
listen_addr = {host}
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/userlist.txt
pool_mode = {mode}
default_pool_size = {size}
; Every connection has its turn.
server_round_robin = 1
"""


class PgBouncer:
    """Lends each database's *size* connections to nova, in one of PgBouncer's modes."""

    def __init__(self, folder: Path, server_port: int, mode: str, size: int) -> None:
        self.port = free_port()
        config, users = folder / "pgbouncer.ini", folder / "userlist.txt"
        config.write_text(
            CONFIG.format(
                host=HOST,
                server=server_port,
                port=self.port,
                folder=folder,
                mode=mode,
                size=size,
            )
        )
        users.touch(0o600)
        # In plain text: PgBouncer logs in to the server with it.
        users.write_text(f'"nova" "{PASSWORD}"\n')
        for path in (folder, config, users):
            give(path, ACCOUNT)
        program = find("pgbouncer", "/usr/sbin", package="pgbouncer")
        self.daemon = Daemon(
            [program, str(config)],
            folder,
            self.port,
            account=ACCOUNT,
            stop_signal=SIGINT,
            ready=lambda: True,
        )
        self.daemon.start()

    def close(self) -> None:
        """Let nobody in any more."""
        self.daemon.kill()
        self.daemon.log.close()
