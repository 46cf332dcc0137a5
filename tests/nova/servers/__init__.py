"""The three kinds of database server, each behind the same small interface."""

from collections.abc import Mapping
from types import MappingProxyType

from tests.nova.servers.base import PASSWORD, SECRETS, Server, plain_engine
from tests.nova.servers.mariadb import MariaDB
from tests.nova.servers.postgresql import PostgreSQL
from tests.nova.servers.sqlite import SQLite

__all__ = ["BACKENDS", "PASSWORD", "SECRETS", "Server", "plain_engine"]

BACKENDS: Mapping[str, type[Server]] = MappingProxyType(
    {"sqlite": SQLite, "mysql": MariaDB, "postgresql": PostgreSQL}
)
