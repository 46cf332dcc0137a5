"""Do something to one cell, and see how it ends and at which revision."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

from cellmap_migrations import failures, threads
from cellmap_migrations.bookkeeping import version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cellmap_migrations.cell import Cell
    from cellmap_migrations.errors import CellmapError

# Seconds for a look at the API database after an error: less than a signal gives to the
# batch in hand, and after a signal less than it leaves until the process has to end.
MOMENT, HASTE = 0.6, 0.1


def attempt(cell: Cell, work: Callable[[Cell], None]) -> CellmapError | None:
    """Do *work*, and return how it failed, in an operator's terms."""
    try:
        with looked_up(cell):
            work(cell)
    except Exception as failure:  # noqa: BLE001 - as in running.guard()
        return failures.understand(failure, cell.api)
    finally:
        cell.close()
    return None


@contextmanager
def looked_up(cell: Cell) -> Iterator[None]:
    """Note in the report which revision is recorded after the block.

    After an error that is left out where the answer does not come at once.
    """
    api, uuid = cell.api, cell.mapping.uuid
    try:
        yield
    except BaseException:
        look = partial(version.recorded_now, api, uuid)
        seconds = HASTE if cell.stopping.signal else MOMENT
        # Whatever the API database says now, it is not why the run ended.
        with suppress(Exception):
            cell.report.revision = threads.soon(look, seconds)
        raise
    cell.report.revision = version.recorded(api, uuid)
