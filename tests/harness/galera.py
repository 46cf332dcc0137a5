"""A Galera cluster of three nodes of MariaDB."""

from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa

from cellmap_migrations.testing.servers.galera import Galera
from tests.harness.clusters import Cluster, Led, status
from tests.harness.haproxy import Check

SYNCED = 4


class First(Led, Galera):
    """The node that the others join, and that makes databases."""


class GaleraCluster(Cluster[Galera]):
    """Nodes that replicate by write sets."""

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
        """Tell HAProxy whether the node is in step, as clustercheck does."""
        return Check(
            node,
            f"SELECT variable_value = '{SYNCED}' FROM information_schema.global_status"
            " WHERE variable_name = 'wsrep_local_state'",
        )

    def whole(self, node: Galera) -> bool:
        """Say whether a node has all others, and is in step with them."""
        return super().whole(node) and status(node, "wsrep_local_state") == SYNCED

    def wait_for_others(self, connection: sa.Connection) -> None:
        """Let a session see everything that was committed on any node by now."""
        connection.exec_driver_sql("SET SESSION wsrep_sync_wait = 1")

    def size(self, node: Galera) -> int:
        """Return of how many nodes a node thinks that the cluster has."""
        return status(node, "wsrep_cluster_size")

    def rejections(self, node: Galera) -> int:
        """Return how many transactions certification has refused on a node."""
        return status(node, "wsrep_local_cert_failures")
