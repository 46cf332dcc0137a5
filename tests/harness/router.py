"""MySQL Router before the members of a group, as InnoDB Cluster has it."""

from collections.abc import Sequence
from pathlib import Path
from signal import SIGTERM

from cellmap_migrations.testing.servers.base import HOST
from cellmap_migrations.testing.servers.daemon import Daemon, find_file, free_port, give
from cellmap_migrations.testing.servers.mysql import MySQLServer
from tests.harness.newer import MySQL9

# Without the metadata that only MySQL Shell can create, Router does not know which
# member is the primary. So it is for members that all take writes.
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


class Router:
    """Leads each connection to *port* to the next one of *nodes* that answers."""

    def __init__(self, folder: Path, nodes: Sequence[MySQLServer]) -> None:
        self.port = free_port()
        config = folder / "router.conf"
        config.write_text(
            CONFIG.format(
                plugins=MySQL9.base / "lib" / "mysqlrouter" / "plugin",
                folder=folder,
                host=HOST,
                port=self.port,
                destinations=",".join(f"{HOST}:{node.port}" for node in nodes),
            )
        )
        give(folder, MySQL9.account)
        self.daemon = Daemon(
            [find_file(f"{MySQL9.base}/bin/mysqlrouter"), "-c", str(config)],
            folder,
            self.port,
            account=MySQL9.account,
            stop_signal=SIGTERM,
            ready=lambda: True,
        )
        self.daemon.start()

    def close(self) -> None:
        """Lead nobody anywhere any more."""
        self.daemon.kill()
        self.daemon.log.close()
