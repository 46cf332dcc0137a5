"""A copy ends complete, whatever happens to the members of a MySQL group meanwhile."""

from collections.abc import Iterator
from contextlib import closing
from typing import ClassVar

import pytest

from tests.faults.clustered import Clustered
from tests.harness.group import EveryPrimary
from tests.harness.replicas import folders_for


@pytest.fixture(scope="module")
def cluster() -> Iterator[EveryPrimary]:
    """Three members that all take writes, behind HAProxy."""
    with folders_for(4) as folders, closing(EveryPrimary(folders)) as made:
        made.start()
        yield made


class TestGroup(Clustered):
    """MySQL Group Replication in multi-primary mode."""

    database: ClassVar = "MySQL group, multi-primary"
