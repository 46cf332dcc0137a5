"""An upgrade ends right although nova acts between two of its statements."""

import pytest

from tests.interleavings.actions import PREFIXES
from tests.interleavings.conftest import MakeExplorer
from tests.interleavings.explorers import TwoWriters
from tests.interleavings.grid import Explorer
from tests.interleavings.points import of_first_revision, some, with_locks
from tests.interleavings.undecided import Undecided
from tests.interleavings.walks import walk

# A quick run takes every so many of the points.
LATER, LOCKED, TWO, LEFT = 12, 16, 24, 180
# Of the prefixes and the points whose pairs are tried one by one. All 13,000 such pairs
# take 13 hours, so a thorough run takes every so many of both as well.
SINGLE, APART, THOROUGH = 30, 150, 5


@pytest.mark.only_on("sqlite")
def test_nova_acts_before_a_statement_of_0001(explorer: Explorer) -> None:
    walk(explorer, PREFIXES.values(), of_first_revision(explorer.points), together=True)

    assert explorer.failures == []


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

    assert explorer.failures == []


@pytest.mark.only_on("sqlite")
def test_nova_does_one_thing_before_a_statement(
    explorer: Explorer, *, thorough: bool
) -> None:
    prefixes = explorer.prefixes[:: THOROUGH if thorough else SINGLE]
    points = explorer.points[:: THOROUGH if thorough else APART]

    # Of many actions, one that leaves rows to an operator hides a wrong record.
    walk(explorer, prefixes, points, together=False)

    assert explorer.failures == []


@pytest.mark.only_on("sqlite", thorough=["postgresql"])
def test_nova_acts_while_rows_are_left_to_an_operator(
    explore: MakeExplorer, *, thorough: bool
) -> None:
    explorer = explore(Undecided)
    points = some(explorer.points, LEFT, thorough=thorough)

    walk(explorer, PREFIXES.values(), points, together=True)

    assert explorer.failures == []


# On SQLite nobody else can commit then.
@pytest.mark.only_on("mysql", "postgresql")
def test_nova_acts_while_the_run_holds_locks(
    explorer: Explorer, *, thorough: bool
) -> None:
    locked = with_locks(explorer.points)
    points = explorer.points if thorough else locked[::LOCKED]

    walk(explorer, PREFIXES.values(), points, together=True)

    assert explorer.failures == []


# SQLite has one writer.
@pytest.mark.only_on("postgresql")
def test_nova_acts_while_two_batches_are_written(
    explore: MakeExplorer, *, thorough: bool
) -> None:
    explorer = explore(TwoWriters)
    locked = with_locks(of_first_revision(explorer.points))
    points = some(locked, TWO, thorough=thorough)

    walk(explorer, PREFIXES.values(), points, together=True)

    assert explorer.failures == []
