"""``cellmap config-path``: where the packaged alembic.ini is."""

from __future__ import annotations

from importlib.resources import files

NAME = "config-path"
SUMMARY = "Print the path of the alembic.ini that this package ships."


def run() -> int:
    """Print the path."""
    print(files("cellmap_migrations") / "conf" / "alembic.ini")  # noqa: T201
    return 0
