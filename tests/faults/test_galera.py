"""A copy ends complete although nodes of its Galera cluster fail."""

from contextlib import suppress
from typing import ClassVar

import sqlalchemy as sa

from tests.faults.clustered import Clustered
from tests.harness.galera import GaleraCluster


class TestGalera(Clustered):
    """MariaDB, as kolla-ansible and OpenStack-Ansible run it."""

    kind: ClassVar = GaleraCluster
    database: ClassVar = "MariaDB Galera"

    def test_node_that_refuses_statements_is_not_healed(
        self, cluster: GaleraCluster
    ) -> None:
        last = cluster.nodes[-1]
        # The ROLLBACK that ends this connection is refused.
        with suppress(sa.exc.OperationalError):
            last.execute("SET GLOBAL wsrep_reject_queries = ALL")
        try:
            assert not cluster.healed()
        finally:
            last.execute("SET GLOBAL wsrep_reject_queries = NONE")
        assert cluster.healed()
