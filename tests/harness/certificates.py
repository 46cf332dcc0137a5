"""Load the system's certificates once; PyMySQL takes 30 ms for each connection."""

from typing import Any

from pymysql.connections import Connection


def load_once() -> None:
    """Let all connections of this process and of its forks share the certificates.

    A URL that names certificates has its own, as ever.
    """
    kind: Any = Connection
    create = kind._create_ssl_ctx
    context = create(None, {})

    def shared(connection: Any, chosen: Any) -> Any:
        return create(connection, chosen) if chosen else context

    kind._create_ssl_ctx = shared
