"""Read the system's certificates once, also for the tests' own connections."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from pymysql.connections import Connection

KIND: Any = Connection

CREATE = KIND._create_ssl_ctx


def load_once() -> None:
    """Let all connections of this process and of its forks share the certificates.

    PyMySQL takes 30 ms for each connection. A URL that names certificates has its own.
    """
    context = CREATE(None, {})

    def shared(connection: Any, chosen: Any) -> Any:
        return CREATE(connection, chosen) if chosen else context

    KIND._create_ssl_ctx = shared


@contextmanager
def loaded_each_time() -> Iterator[None]:
    """Undo ``load_once`` while the block runs."""
    with mock.patch.object(Connection, "_create_ssl_ctx", CREATE):
        yield
