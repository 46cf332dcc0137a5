"""What a failure is in an operator's terms: a line, and an exit code."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

from cellmap_migrations import driver_errors, secrets
from cellmap_migrations.backends import DATABASE_ERRORS
from cellmap_migrations.errors import CellmapError
from cellmap_migrations.progress import say

if TYPE_CHECKING:
    from cellmap_migrations.databases import Database
    from cellmap_migrations.stopping import Stopping


def understand(failure: Exception, database: Database) -> CellmapError:
    """Return *failure*, of *database* or any other, in an operator's terms."""
    if isinstance(failure, DATABASE_ERRORS):
        failure = driver_errors.understand(failure, database)
    return explain(failure, database.stopping)


def explain(failure: Exception, stopping: Stopping) -> CellmapError:
    """Return *failure* as it is, or print the traceback of what nobody foresaw.

    That is a fault of this package; it must not show a password. After a signal it
    is only what a driver makes of a connection that was left in the middle.
    """
    if stopping.signal:
        return stopping.stopped()
    if isinstance(failure, CellmapError):
        return failure
    for line in traceback.format_exception(failure):
        for part in line.splitlines():
            say(secrets.mask_line(part))
    return CellmapError(f"internal error, please report it: {secrets.mask(failure)}")
