"""An upgrade ends right although nova acts between two of its statements."""

import pytest

from tests.interleavings.actions import PREFIXES
from tests.interleavings.grid import Explorer
from tests.interleavings.points import of_first_revision, some, with_locks
from tests.interleavings.walks import walk

# A quick run takes every so many of the points.
LATER, LOCKED = 6, 8


@pytest.mark.only_on("sqlite")
def test_nova_acts_before_a_statement_of_0001(explorer: Explorer) -> None:
    walk(explorer, PREFIXES.values(), of_first_revision(explorer.points), together=True)

    assert explorer.coverage.failures == []


@pytest.mark.only_on("sqlite")
def test_nova_acts_before_a_statement_of_a_later_revision(
    explorer: Explorer, *, thorough: bool
) -> None:
    later = explorer.points[len(of_first_revision(explorer.points)) :]

    walk(
        explorer,
        PREFIXES.values(),
        some(later, LATER, thorough=thorough),
        together=True,
    )

    assert explorer.coverage.failures == []


# On SQLite nobody else can commit then.
@pytest.mark.only_on("mysql", "postgresql")
def test_nova_acts_while_the_run_holds_locks(
    explorer: Explorer, *, thorough: bool
) -> None:
    locked = with_locks(explorer.points)
    points = explorer.points if thorough else locked[::LOCKED]

    walk(explorer, PREFIXES.values(), points, together=True)

    assert explorer.coverage.failures == []
