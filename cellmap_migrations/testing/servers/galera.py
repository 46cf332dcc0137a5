"""Run nodes of a Galera cluster, each in its own folder."""

from pathlib import Path

from cellmap_migrations.testing.servers.base import HOST
from cellmap_migrations.testing.servers.daemon import find_file, free_port, give
from cellmap_migrations.testing.servers.mariadb import MariaDB

LIBRARIES = (
    "/usr/lib/galera/libgalera_smm.so",
    "/usr/lib/libgalera_smm.so",
    "/usr/lib64/galera/libgalera_smm.so",
)


class Galera(MariaDB):
    """Run a node. It founds a cluster, or joins another node by rsync."""

    def __init__(self, folder: Path, *, joins: "Galera | None" = None) -> None:
        self.joins, self.group_port = joins, free_port()
        super().__init__(folder)

    def install(self) -> None:
        """Fill the folder; who joins a cluster gets everything from there."""
        if self.joins is None:
            super().install()
            return
        data = self.folder / "data"
        data.mkdir()
        give(data, self.account)

    def start(self) -> None:
        """Serve as a node of the cluster that ``joins`` is in by now."""
        self.daemon.command_parts = self.command()
        super().start()

    def command(self) -> list[str]:
        """Return the command that serves the folder in the foreground."""
        options = [
            f"base_host={HOST}",
            f"base_port={self.group_port}",
            f"gmcast.listen_addr=tcp://{HOST}:{self.group_port}",
            f"ist.recv_addr={HOST}:{free_port()}",
            "gcache.size=16M",
            "pc.recovery=false",
            "pc.wait_prim_timeout=PT2M",
        ]
        first = f"{HOST}:{self.joins.group_port}" if self.joins else ""
        return [
            *(
                part
                for part in super().command()
                if not part.startswith("--innodb-buffer-pool-size")
            ),
            "--innodb-buffer-pool-size=64M",
            "--binlog-format=ROW",
            "--innodb-autoinc-lock-mode=2",
            "--wsrep-on=ON",
            f"--wsrep-provider={find_file(*LIBRARIES)}",
            f"--wsrep-cluster-address=gcomm://{first}",
            f"--wsrep-node-address={HOST}:{self.group_port}",
            "--wsrep-sst-method=rsync",
            f"--wsrep-sst-receive-address={HOST}:{free_port()}",
            f"--wsrep-provider-options={';'.join(options)}",
        ]
