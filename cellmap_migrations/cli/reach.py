"""Ask the databases of cells a short question, all of them at once."""

from __future__ import annotations

import time
from concurrent.futures import wait
from functools import partial
from typing import TYPE_CHECKING

from cellmap_migrations import connecting, threads
from cellmap_migrations.copying import read
from cellmap_migrations.errors import (
    CellmapError,
    ConfigurationError,
    LoginRefused,
    RightsError,
    TryAgain,
    Unreachable,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellmap_migrations.directory import CellMapping
    from cellmap_migrations.settings import Settings
    from cellmap_migrations.stopping import Stopping

# Seconds for all of them together.
PATIENCE = 3.0
# What a person is told of an error in a few words.
WORDS = (
    (TryAgain, "no answer"),
    (LoginRefused, "login refused"),
    (RightsError, "no right"),
    (ConfigurationError, "misconfigured"),
    (CellmapError, "error"),
)


def highest_ids(
    cells: Sequence[CellMapping], settings: Settings, stopping: Stopping
) -> dict[int, int | CellmapError]:
    """Return the highest ``instances.id`` of each cell, by ``cell_mappings.id``.

    Of a cell that does not answer within PATIENCE seconds, or at all, the error.
    """

    def ask(cell: CellMapping) -> int | CellmapError:
        try:
            database = connecting.unopened_cell(cell, settings, stopping)
            question = partial(read.highest_id_now, database)
            return connecting.ask(database, question, PATIENCE)
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


def spell(error: CellmapError | None) -> str:
    """Return in a few words what became of the question to a cell."""
    if error is None:
        return "answers"
    return next(words for kind, words in WORDS if isinstance(error, kind))
