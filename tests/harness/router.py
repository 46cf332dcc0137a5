"""Run MySQL Router in front of the members of a group, as InnoDB Cluster does."""

from collections.abc import Sequence
from pathlib import Path

from cellmap_migrations.testing.servers.base import HOST
from cellmap_migrations.testing.servers.daemon import find_file, free_port
from cellmap_migrations.testing.servers.mysql import MySQLServer
from tests.harness.front import Front
from tests.harness.newer import MySQL9

# Router knows the primary only from metadata that MySQL Shell creates. Without them it
# fits a group whose members all take writes.
CONFIG = """
[DEFAULT]
logging_folder=
plugin_folder={plugins}
runtime_folder={folder}
data_folder={folder}

[logger]
level=INFO

[routing:spread]
bind_address={host}
bind_port={port}
destinations={destinations}
routing_strategy=round-robin
protocol=classic
"""


class Router(Front):
    """Connect each client of *port* to the next one of *nodes* that answers."""

    def __init__(self, folder: Path, nodes: Sequence[MySQLServer]) -> None:
        port = free_port()
        config = folder / "router.conf"
        config.write_text(
            CONFIG.format(
                plugins=MySQL9.base / "lib" / "mysqlrouter" / "plugin",
                folder=folder,
                host=HOST,
                port=port,
                destinations=",".join(f"{HOST}:{node.port}" for node in nodes),
            )
        )
        program = find_file(f"{MySQL9.base}/bin/mysqlrouter")
        command = [program, "-c", str(config)]
        super().__init__(command, folder, port, account=MySQL9.account)
