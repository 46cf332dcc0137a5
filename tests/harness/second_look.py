"""The time between two looks at a difference, which only a living cloud needs."""

from collections.abc import Iterator
from contextlib import contextmanager

from cellmap_migrations.comparing import differences
from cellmap_migrations.copying import decide

MODULES = (decide, differences)

# Seconds, in the package.
USUAL = decide.SECOND_LOOK


def seconds() -> float:
    """Return the seconds between the two looks in this process."""
    return decide.SECOND_LOOK


def follow_after(new: float) -> None:
    """Let the second look follow *new* seconds after the first in this process."""
    for module in MODULES:
        module.SECOND_LOOK = new  # type: ignore[attr-defined]


@contextmanager
def in_earnest() -> Iterator[None]:
    """Look again as late as the package does while the block runs.

    Commands that are forked meanwhile do so too.
    """
    before = seconds()
    follow_after(USUAL)
    try:
        yield
    finally:
        follow_after(before)
