"""Answers of PostgreSQL: an end to waiting for them, and times that Python has not."""

from __future__ import annotations

import importlib
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator
    from datetime import datetime

# Longer than the sessions' statement_timeout: a server that can speak has by then.
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


def time_loader() -> type:
    """Return what makes times of psycopg's texts, and None of what Python has not.

    Such as infinity, years before Christ and those after 9999.
    """
    psycopg: Any = importlib.import_module("psycopg")
    # The one in C, which is the default, calls nothing of Python's.
    usual: Any = importlib.import_module("psycopg.types.datetime").TimestampLoader

    def load(self: Any, data: Any) -> datetime | None:
        with suppress(psycopg.DataError):
            found: datetime = usual.load(self, data)
            return found
        return None

    return type("TimeLoader", (usual,), {"load": load})
