"""A copy ends complete, whatever happens to the primary of a MySQL group meanwhile."""

from collections.abc import Iterator
from contextlib import closing
from typing import ClassVar

import pytest

from tests.faults import nodes
from tests.faults.copying import Cause, Copy
from tests.faults.tally import Tally
from tests.harness.group import Group
from tests.harness.replicas import folders_for


@pytest.fixture(scope="module")
def cluster() -> Iterator[Group]:
    """Three members, of which one takes writes, behind HAProxy."""
    with folders_for(4) as folders, closing(Group(folders)) as made:
        made.start()
        yield made


class TestPrimary:
    """MySQL Group Replication in single-primary mode, as InnoDB Cluster runs it."""

    database: ClassVar = "MySQL group, single-primary"

    @pytest.mark.parametrize("cause", nodes.faults(nodes.OF_ONE_NODE))
    def test_copy_ends_complete(self, copy: Copy, tallied: Tally, cause: Cause) -> None:
        copy.complete(cause, tallied)
