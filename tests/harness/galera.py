"""Run a Galera cluster of three nodes of MariaDB."""

from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa

from cellmap_migrations.testing.servers.galera import Galera
from tests.harness.clusters import Cluster, Led, status
from tests.harness.haproxy import Check

SYNCED = 4


class First(Led, Galera):
    """Run the node that the others join, and that creates databases."""


class GaleraCluster(Cluster[Galera]):
    """Run nodes that replicate by write sets."""

    def make(self, folder: Path) -> Galera:
        """Make the next node."""
        if self.nodes:
            return Galera(folder, joins=self.first)
        self.first = First(folder)
        return self.first

    def admit(self, node: Galera, others: Sequence[Galera]) -> None:
        """Start *node* if need be: it joins the cluster by itself."""
        if not node.daemon.running() and others:
            node.joins = others[0]
        node.start()

    def check(self, node: Galera) -> Check:
        """Return a check that the node is in step, like that of clustercheck."""
        return Check(
            node,
            f"SELECT variable_value = '{SYNCED}' FROM information_schema.global_status"
            " WHERE variable_name = 'wsrep_local_state'",
        )

    def whole(self, node: Galera) -> bool:
        """Return True if a node sees all others, and is in step with them."""
        return super().whole(node) and status(node, "wsrep_local_state") == SYNCED

    def wait_for_others(self, connection: sa.Connection) -> None:
        """Let the next read of a session wait for all commits of other nodes."""
        connection.exec_driver_sql("SET SESSION wsrep_sync_wait = 1")

    def size(self, node: Galera) -> int:
        """Return the number of nodes in the cluster, in the view of one node."""
        return status(node, "wsrep_cluster_size")

    def rejections(self, node: Galera) -> int:
        """Return the number of transactions that failed in certification on a node."""
        return status(node, "wsrep_local_cert_failures")
