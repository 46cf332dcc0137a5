"""Run PgBouncer in front of the tests' PostgreSQL."""

from pathlib import Path

from cellmap_migrations.testing.servers import PASSWORD
from cellmap_migrations.testing.servers.base import HOST
from cellmap_migrations.testing.servers.daemon import find, free_port
from tests.harness.front import Front

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


class PgBouncer(Front):
    """Share *size* connections per database among all clients, in pool mode *mode*."""

    def __init__(self, folder: Path, server_port: int, mode: str, size: int) -> None:
        port = free_port()
        config, users = folder / "pgbouncer.ini", folder / "userlist.txt"
        config.write_text(
            CONFIG.format(
                host=HOST,
                server=server_port,
                port=port,
                folder=folder,
                mode=mode,
                size=size,
            )
        )
        users.touch(0o600)
        # In plain text: PgBouncer logs in to the server with it.
        users.write_text(f'"nova" "{PASSWORD}"\n')
        program = find("pgbouncer", "/usr/sbin", package="pgbouncer")
        super().__init__([program, str(config)], folder, port, account=ACCOUNT)
