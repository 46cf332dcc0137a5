"""A copy ends complete, whatever happens to the nodes of a Galera cluster meanwhile."""

from collections.abc import Iterator
from contextlib import closing, suppress
from typing import ClassVar

import pytest
import sqlalchemy as sa

from tests.faults.clustered import Clustered
from tests.harness.galera import GaleraCluster
from tests.harness.replicas import folders_for


@pytest.fixture(scope="module")
def cluster() -> Iterator[GaleraCluster]:
    """Three nodes of Galera behind HAProxy."""
    with folders_for(4) as folders, closing(GaleraCluster(folders)) as made:
        made.start()
        yield made


class TestGalera(Clustered):
    """MariaDB, as kolla-ansible and OpenStack-Ansible run it."""

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
