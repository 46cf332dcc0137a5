"""Write lines for people to stderr."""

from __future__ import annotations

import sys

from cellmap_migrations.common.secrets import one_line


def say(line: str) -> None:
    """Write one line to stderr, if there is one."""
    if sys.stderr is not None:
        try:
            print(one_line(line), file=sys.stderr, flush=True)  # noqa: T201 - this is the output
        except (OSError, ValueError):
            # Closed by the caller, or a pipe that nobody reads: not a reason to stop.
            sys.stderr = None
