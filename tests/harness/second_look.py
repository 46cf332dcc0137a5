"""Set the seconds between the two reads of a difference."""

from collections.abc import Iterator
from contextlib import contextmanager

from cellmap_migrations.comparing import differences
from cellmap_migrations.copying import decide

MODULES = (decide, differences)

# Seconds, in the package.
USUAL = decide.SECOND_LOOK


def seconds() -> float:
    """Return the seconds between the two reads in this process."""
    return decide.SECOND_LOOK


def follow_after(new: float) -> None:
    """Set the seconds between the two reads in this process."""
    for module in MODULES:
        module.SECOND_LOOK = new  # type: ignore[attr-defined]


@contextmanager
def in_earnest() -> Iterator[None]:
    """Use the package's own time between the two reads while the block runs.

    Commands that are forked meanwhile do so too.
    """
    before = seconds()
    follow_after(USUAL)
    try:
        yield
    finally:
        follow_after(before)
