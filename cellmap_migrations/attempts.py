"""One attempt to connect: how long it may take, and what it may raise."""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations import secrets
from cellmap_migrations.errors import UrlUnusable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cellmap_migrations.backends import Backend
    from cellmap_migrations.databases import Database


@contextmanager
def refusing(
    what: str,
    backend: Backend,
    url: sa.URL,
    but: tuple[type[Exception], ...] = (),
) -> Iterator[None]:
    """Raise UrlUnusable for any error of the block, except those of *but*.

    A driver checks the arguments of a URL, and the files that they name, only when it
    connects, and may then raise any of Python's exceptions.
    """
    try:
        yield
    except but:
        raise
    except Exception as error:  # noqa: BLE001 - only a driver is at work here
        why = secrets.mask(backend.explain(error, url) or "") or reason(error)
        raise UrlUnusable(what, f"its URL cannot be used: {why}") from None


def reason(error: Exception) -> str:
    """Return what *error* says, without the line of a file that it may show."""
    first, *_ = str(getattr(error, "reason", None) or error).splitlines() or [""]
    return f"{type(error).__name__}: {secrets.mask(first)}"


@contextmanager
def hurried(database: Database, seconds: float) -> Iterator[None]:
    """Let no attempt to connect last longer than what is left of *seconds*.

    A proxy whose database is gone accepts, and then says nothing. Connections with such
    a timeout go with the block, since it is for connecting and not for work.
    """
    deadline = time.monotonic() + seconds
    shortened: list[str] = []

    def connect(
        dialect: sa.Dialect, _: Any, arguments: Any, parameters: dict[str, Any]
    ) -> Any:
        left = max(1, math.ceil(deadline - time.monotonic()))
        hurry = {
            # 0 stands for ever; what is no number is for the driver to refuse.
            name: min(int(parameters[name]) or left, left)
            for name in database.backend.timeouts
            if str(parameters[name]).isdigit()
        }
        shortened.extend(name for name in hurry if hurry[name] != int(parameters[name]))
        url = database.engine.url
        with refusing(database.what, database.backend, url, but=database.errors):
            return dialect.connect(*arguments, **{**parameters, **hurry})

    sa.event.listen(database.engine, "do_connect", connect)
    try:
        yield
    finally:
        sa.event.remove(database.engine, "do_connect", connect)
        if shortened:
            database.engine.dispose()
