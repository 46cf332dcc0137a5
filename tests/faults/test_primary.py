"""A copy ends complete although the primary of its MySQL group fails."""

from typing import ClassVar

import pytest

from cellmap_migrations.cell.signals import ClusterNode
from cellmap_migrations.databases import mysql_status
from cellmap_migrations.testing.servers.base import HOST
from tests.faults import nodes
from tests.faults.copying import Cause, Copy
from tests.faults.tally import Tally
from tests.harness.group import WATCHED, Group
from tests.harness.inside import alembic_inside, opened
from tests.harness.waiting import wait_for

FEW = 5

BEHIND = "transactions wait on a member of the group"


class TestPrimary:
    """MySQL Group Replication in single-primary mode, as InnoDB Cluster runs it."""

    kind: ClassVar = Group
    database: ClassVar = "MySQL group, single-primary"

    @pytest.mark.parametrize("cause", nodes.faults(nodes.OF_ONE_NODE))
    def test_copy_ends_complete(self, copy: Copy, tallied: Tally, cause: Cause) -> None:
        copy.complete(cause, tallied)

    def test_run_pauses_while_a_member_is_behind(
        self, small: Copy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(mysql_status, "TRANSACTIONS", FEW)
        *_, last = small.cluster.nodes
        with (
            small.cluster.behind(last) as apply,
            opened(small.cloud, small.cell) as inside,
        ):
            for _ in range(2 * FEW):
                small.cluster.first.execute("INSERT INTO other.held VALUES ()")
            signal = ClusterNode(inside.api)
            wait_for(lambda: BEHIND in (signal.pause_reason() or ""), "a pause")
            apply()
            wait_for(lambda: signal.pause_reason() is None, "the end of the pause")

    def test_run_without_the_grants_warns_and_does_not_pause(self, small: Copy) -> None:
        user = f"nova@'{HOST}'"
        for table in WATCHED:
            small.cluster.first.execute(
                f"REVOKE SELECT ON performance_schema.{table} FROM {user}"
            )

        upgraded = alembic_inside(small.cloud, "upgrade", "head", cell="cell1")

        assert upgraded.code == 0
        assert "warning: the cluster's queue is not watched: " in upgraded.err
        assert "SELECT on performance_schema.replication_group_members" in upgraded.err
