"""A nova cloud for tests: databases with nova's tables, rows of every kind, commands.

``plugin.py`` makes pytest fixtures of it. What it needs beside the package is the extra
``testing``.
"""

from collections.abc import Mapping
from types import MappingProxyType

# The module and the class behind each database, and the extras that they need.
BACKENDS: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        "sqlite": ("sqlite", "SQLite", "testing"),
        "mysql": ("mariadb", "MariaDB", "testing"),
        "postgresql": ("postgresql", "PostgreSQL", "postgresql,testing"),
    }
)
