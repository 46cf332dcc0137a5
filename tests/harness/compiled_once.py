"""Compile each statement once, as a quarter of the time of most tests went into that.

SQLAlchemy keeps compiled statements for one engine, and each command makes its own.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect, Engine
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.util import LRUCache

# Besides the class of the dialect.
OF_SERVER = ("server_version_info", "is_mariadb", "_sql_mode")

# Its keys begin with the dialect.
COMPILED: LRUCache[Any, Any] = LRUCache(10_000)


def server_of(dialect: Dialect) -> tuple[Any, ...]:
    """Return the attributes of a dialect on which the SQL of a statement depends."""
    return (type(dialect), *(getattr(dialect, name, None) for name in OF_SERVER))


def share() -> None:
    """Let all engines of this process share their compiled statements."""
    dialects: Any = DefaultDialect
    methods = {
        "__eq__": lambda one, other: server_of(one) == server_of(other),
        # Not of the server's version: a dialect learns it at its first connection.
        "__hash__": lambda dialect: id(type(dialect)),
    }
    for name, method in methods.items():
        setattr(dialects, name, method)
    sa.event.listen(Engine, "engine_connect", use_shared)


def use_shared(connection: sa.Connection) -> None:
    """Let a new connection use the shared statements."""
    connection.execution_options(compiled_cache=COMPILED)
