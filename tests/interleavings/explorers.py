"""List the commands whose statements are explored, by their names."""

from tests.interleavings.checking import Checking
from tests.interleavings.commands import (
    Abandoning,
    Downgrading,
    Repairing,
    RepairingFresh,
)
from tests.interleavings.grid import Explorer
from tests.interleavings.merging import Merging

COMMANDS: dict[str, type[Explorer]] = {
    each.name: each
    for each in (Checking, Repairing, RepairingFresh, Downgrading, Abandoning, Merging)
}
