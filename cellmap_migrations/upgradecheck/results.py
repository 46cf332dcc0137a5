"""Results of checks: what is said of what was found, and of what went wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from oslo_upgradecheck.upgradecheck import Code, Result

from cellmap_migrations import failures
from cellmap_migrations.errors import CellmapError, Stopped, TryAgain
from cellmap_migrations.secrets import one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from cellmap_migrations.databases import Database


def result(*found: str, code: Code = Code.SUCCESS) -> Result:
    """Return a result whose details are the sentences of *found*."""
    return Result(code, one_line("; ".join(found)))


def failed(error: CellmapError, at_least: Code = Code.WARNING) -> Result:
    """Return *error* as a result.

    What may be over at the next attempt is a warning, what has to be corrected is a
    failure.
    """
    code = Code.WARNING if isinstance(error, TryAgain) else Code.FAILURE
    return result(str(error), code=max(code, at_least))


def safely(check: Callable[[], Result], database: Database) -> Result:
    """Return the result of *check*, which fails alone; raise Stopped after a signal."""
    try:
        return check()
    # One check that fails, for whatever reason, must not keep the others from running.
    except Exception as failure:  # noqa: BLE001
        error = failures.understand(failure, database)
    if isinstance(error, Stopped):
        raise error
    return failed(error)
