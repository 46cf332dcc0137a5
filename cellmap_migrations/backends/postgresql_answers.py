"""Answers of PostgreSQL: an end to waiting for them, and times that Python has not."""

from __future__ import annotations

import importlib
import time
from contextlib import suppress
from datetime import timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator
    from datetime import datetime

# Longer than statement_timeout: a server that can speak has by then.
SECONDS = 35.0


def bound(connection: Any) -> None:
    """Let *connection* wait SECONDS at the most until something moves.

    libpq has no such limit: tcp_user_timeout ends when the peer's kernel has taken what
    was sent, and that peer may be a proxy. psycopg lets go every 0.1 s (from 3.2 on).
    """
    wait = connection.wait

    def bounded(talk: Generator[Any, Any, Any], *args: Any, **kwargs: Any) -> Any:
        return wait(moving(connection, talk), *args, **kwargs)

    connection.wait = bounded


def moving(connection: Any, talk: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Pass on what psycopg says to *talk*; close the connection where that is nothing.

    Raises the driver's OperationalError then.
    """
    try:
        state, moved = next(talk), time.monotonic()
        while True:
            ready = yield state
            if ready:
                moved = time.monotonic()
            elif time.monotonic() - moved > SECONDS:
                connection.close()
                raise connection.OperationalError(f"no answer for {SECONDS:g} s")
            state = talk.send(ready)
    except StopIteration as end:
        return end.value


def load_times(connection: Any) -> None:
    """Let *connection* return times without a zone, in UTC as nova stores them.

    None stands for a time that Python has not: infinity, and the years before Christ
    and after 9999.
    """
    psycopg: Any = importlib.import_module("psycopg")
    # The one in C, which is the default, calls nothing of Python's.
    loaders: Any = importlib.import_module("psycopg.types.datetime")

    def loader(usual: Any) -> type:
        def load(self: Any, data: Any) -> datetime | None:
            with suppress(psycopg.DataError, OverflowError):
                found: datetime = usual.load(self, data)
                if found.tzinfo is None:
                    return found
                return found.astimezone(timezone.utc).replace(tzinfo=None)
            return None

        return type(usual.__name__, (usual,), {"load": load})

    for name in ("timestamp", "timestamptz"):
        usual = getattr(loaders, f"{name.capitalize()}Loader")
        connection.adapters.register_loader(name, loader(usual))
