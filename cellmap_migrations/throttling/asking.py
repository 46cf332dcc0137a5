"""Ask a server about itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from cellmap_migrations.backends import RightMissing, Unmeasured
from cellmap_migrations.driver_errors import message

if TYPE_CHECKING:
    from collections.abc import Callable

    import sqlalchemy as sa

    from cellmap_migrations.databases import Database

T = TypeVar("T")


def ask(database: Database, question: Callable[[sa.Connection], T]) -> T:
    """Return the answer, once; raise Unmeasured also where there is none."""
    try:
        with database.reading(status=True) as connection:
            return question(connection)
    except RightMissing as error:
        raise RightMissing(f"{database.what}: the right {error} is missing") from error
    except database.errors as error:
        raise Unmeasured(f"{database.what}: {message(error)}") from error
