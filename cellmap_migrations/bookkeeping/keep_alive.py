"""Keep the connection to the version table alive while a cell is copied."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Iterator


# HAProxy, as kolla configures it, closes a connection that is idle for a minute.
IDLE_SECONDS = 20.0


class KeepAlive:
    """Execute a statement on an idle connection, so that no proxy closes it."""

    def __init__(self) -> None:
        self.watched: sa.Connection | None = None
        self.used = time.monotonic()

    @contextmanager
    def watching(self, connection: sa.Connection) -> Iterator[None]:
        """Keep *connection* alive while the block runs."""
        self.watched, self.used = connection, time.monotonic()
        try:
            yield
        finally:
            self.watched = None

    def __call__(self) -> None:
        """Execute a short SELECT if the last one was more than IDLE_SECONDS ago."""
        if self.watched and time.monotonic() - self.used > IDLE_SECONDS:
            self.watched.execute(sa.select(1))
            self.used = time.monotonic()
