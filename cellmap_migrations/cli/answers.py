"""The answers of the cells' databases, as ``status`` shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cellmap_migrations.common.errors import (
    CellmapError,
    ConfigurationError,
    LoginRefused,
    RightsError,
    TryAgain,
)
from cellmap_migrations.copying import read
from cellmap_migrations.nova.identities import identify

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cellmap_migrations.databases.database import Database
    from cellmap_migrations.databases.status import Identity
    from cellmap_migrations.nova.cells import CellMapping

    Answer = tuple[int, Identity]


# How a person reads in a few words why a cell does not answer.
WORDS = (
    (TryAgain, "no answer"),
    (LoginRefused, "login refused"),
    (RightsError, "no right"),
    (ConfigurationError, "misconfigured"),
    (CellmapError, "error"),
)


def ask(database: Database, _: CellMapping) -> Answer:
    """Return the highest ``instances.id`` of a cell, and which database it has."""
    return read.highest_id_now(database), identify(database)


def database(
    cell: CellMapping,
    cells: Sequence[CellMapping],
    answers: Mapping[int, Answer | CellmapError],
) -> dict[str, Any]:
    """Return the identity of a cell's database, and the *cells* that share it."""
    found = answers[cell.id]
    if isinstance(found, CellmapError):
        return {"database": None, "shared_with": []}
    return {
        "database": found[1].name,
        "shared_with": [
            other.name or other.uuid
            for other in cells
            if other.id != cell.id
            and not isinstance(theirs := answers[other.id], CellmapError)
            and theirs[1].same(found[1])
        ],
    }


def spell(error: CellmapError | None) -> str:
    """Return in a few words whether a cell's database answers, or why not."""
    if error is None:
        return "answers"
    return next(words for kind, words in WORDS if isinstance(error, kind))


def told(cell: Mapping[str, Any]) -> str:
    """Return the text of the column DATABASE."""
    if cell["shared_with"]:
        return f"same as {', '.join(cell['shared_with'])}"
    return str(cell["answer"])
