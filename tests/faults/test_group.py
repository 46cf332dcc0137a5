"""A copy ends complete, whatever happens to the members of a MySQL group meanwhile."""

from collections.abc import Iterator
from contextlib import closing
from typing import ClassVar

import pytest

from tests.faults import nodes
from tests.faults.clustered import Clustered
from tests.faults.copying import Copy
from tests.faults.tally import Tally
from tests.harness.group import EveryPrimary
from tests.harness.replicas import folders_for
from tests.harness.router import Router


@pytest.fixture(scope="module")
def cluster() -> Iterator[EveryPrimary]:
    """Three members that all take writes, behind HAProxy."""
    with folders_for(4) as folders, closing(EveryPrimary(folders)) as made:
        made.start()
        yield made


class TestGroup(Clustered):
    """MySQL Group Replication in multi-primary mode."""

    database: ClassVar = "MySQL group, multi-primary"

    @pytest.mark.fault("a node is killed behind MySQL Router")
    def test_copy_behind_router_ends_complete(self, copy: Copy, tallied: Tally) -> None:
        with (
            folders_for(1) as [folder],
            closing(Router(folder, copy.cluster.nodes)) as router,
        ):
            for chosen in copy.moments():
                copy.by_way_of(router.port)
                copy.cell_by_way_of(router.port)
                with nodes.killed(copy, chosen) as runs:
                    tallied.add(*copy.finish(*runs), rows=len(copy.uuids))
