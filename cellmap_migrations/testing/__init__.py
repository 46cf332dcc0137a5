"""Build a nova cloud for tests: databases, nova's tables, rows, and commands.

``plugin.py`` has the pytest fixtures. The extra ``testing`` installs the requirements.
"""

from collections.abc import Mapping
from types import MappingProxyType

# The module, the class and the required extras of each database.
BACKENDS: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        "sqlite": ("sqlite", "SQLite", "testing"),
        "mysql": ("mariadb", "MariaDB", "testing"),
        "postgresql": ("postgresql", "PostgreSQL", "postgresql,testing"),
    }
)
