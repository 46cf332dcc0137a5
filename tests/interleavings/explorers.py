"""List the kinds of runs whose statements are explored, by their names."""

from tests.interleavings.checking import Checking
from tests.interleavings.commands import (
    Abandoning,
    Downgrading,
    Repairing,
    RepairingFresh,
)
from tests.interleavings.edits import Edited
from tests.interleavings.grid import Explorer
from tests.interleavings.merging import Merging
from tests.interleavings.operators import MergedMeanwhile
from tests.interleavings.prepared import WorldOfTwoWriters
from tests.interleavings.undecided import Undecided


class TwoWriters(Explorer):
    """Explore the statements of an upgrade that writes two batches at a time."""

    name = "two-writers"
    makes = WorldOfTwoWriters


COMMANDS: dict[str, type[Explorer]] = {
    each.name: each
    for each in (Checking, Repairing, RepairingFresh, Downgrading, Abandoning, Merging)
}

UPGRADES = (Explorer, Undecided, TwoWriters, Edited, MergedMeanwhile)

EXPLORERS = COMMANDS | {each.name: each for each in UPGRADES}
