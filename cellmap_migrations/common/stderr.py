"""Write diagnostics to stderr."""

from __future__ import annotations

import sys

from cellmap_migrations.common.secrets import one_line


def say(line: str) -> None:
    """Write one line to stderr, unless stderr is closed."""
    if sys.stderr is not None:
        try:
            print(one_line(line), file=sys.stderr, flush=True)  # noqa: T201 - this is the output
        except (OSError, ValueError):
            # The caller closed stderr, or its reader ended. The run goes on without it.
            sys.stderr = None
