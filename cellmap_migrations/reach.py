"""Ask the databases of cells a short question, all of them at once."""

from __future__ import annotations

import time
from concurrent.futures import wait
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from cellmap_migrations import connecting, threads
from cellmap_migrations.errors import CellmapError, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cellmap_migrations.databases import Database
    from cellmap_migrations.directory import CellMapping
    from cellmap_migrations.settings import Settings
    from cellmap_migrations.stopping import Stopping

T = TypeVar("T")

# Seconds for all of them together.
PATIENCE = 3.0


def ask_each(
    cells: Sequence[CellMapping],
    question: Callable[[Database, CellMapping], T],
    settings: Settings,
    stopping: Stopping,
) -> dict[int, T | CellmapError]:
    """Return what *question* returns for each cell, by ``cell_mappings.id``.

    A cell that fails, or does not answer within PATIENCE seconds, has the error
    instead.
    """

    def ask(cell: CellMapping) -> T | CellmapError:
        try:
            database = connecting.unopened_cell(cell, settings, stopping)
            try:
                return connecting.ask(
                    database, partial(question, database, cell), PATIENCE
                )
            finally:
                database.close()
        except CellmapError as error:
            return error

    # Before any thread runs: each of them delays the start of the next.
    deadline = time.monotonic() + PATIENCE
    asked = {cell.id: threads.start(partial(ask, cell)) for cell in cells}
    # A driver may wait for longer than that, and the process must not.
    while wait(asked.values(), timeout=threads.TICK).not_done:
        stopping.check()
        if time.monotonic() > deadline:
            break
    return {
        cell.id: asked[cell.id].result()
        if asked[cell.id].done()
        else Unreachable(f"cell {cell}", PATIENCE, "no answer")
        for cell in cells
    }
