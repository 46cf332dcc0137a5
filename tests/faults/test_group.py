"""A copy ends complete although members of its MySQL group fail."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from random import Random
from typing import ClassVar

import pytest

from cellmap_migrations.testing.process import Running
from tests.faults import nodes
from tests.faults.clustered import Clustered
from tests.faults.copying import Copy
from tests.faults.tally import Tally
from tests.harness.group import EveryPrimary
from tests.harness.replicas import folders_for
from tests.harness.router import Router


@contextmanager
def killed_behind(
    router: Router, copy: Copy, chosen: Random
) -> Iterator[Sequence[Running]]:
    """Kill the node that a run writes to by way of *router*."""
    copy.by_way_of(router.port)
    copy.cell_by_way_of(router.port)
    with nodes.killed(copy, chosen) as runs:
        yield runs


class TestGroup(Clustered):
    """MySQL Group Replication in multi-primary mode."""

    kind: ClassVar = EveryPrimary
    database: ClassVar = "MySQL group, multi-primary"

    @pytest.mark.fault("a node is killed behind MySQL Router")
    def test_copy_behind_router_ends_complete(self, copy: Copy, tallied: Tally) -> None:
        with (
            folders_for(1) as [folder],
            closing(Router(folder, copy.cluster.nodes)) as router,
        ):
            copy.complete(partial(killed_behind, router), tallied)
