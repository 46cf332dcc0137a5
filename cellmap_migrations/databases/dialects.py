"""How each database says it. Nothing outside this folder knows their names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellmap_migrations.databases.base import Backend, DriverMissing
from cellmap_migrations.databases.mysql import MySQL
from cellmap_migrations.databases.postgresql import PostgreSQL
from cellmap_migrations.databases.sqlite import SQLite

if TYPE_CHECKING:
    from collections.abc import Mapping

    import sqlalchemy as sa


# One name each for MariaDB and MySQL, which are one backend here.
BACKENDS: Mapping[str, Backend] = {
    "mysql": MySQL(),
    "mariadb": MySQL(),
    "postgresql": PostgreSQL(),
    "sqlite": SQLite(),
}

FILE_BASED = "sqlite"

# URL arguments that say where a database is, beside host, port and name.
PLACE_ARGUMENTS = ("unix_socket", "read_default_file", "options")


def of(url: sa.URL) -> Backend:
    """Return the backend of *url*, which ``with_driver`` accepted before."""
    return BACKENDS[url.get_backend_name()]


def default_port(name: str) -> int | None:
    """Return the port used when a URL names none."""
    return BACKENDS[name].port


def with_driver(url: sa.URL) -> tuple[sa.URL, str | None]:
    """Return *url* with a driver that is installed, and a warning or None.

    Raises DriverMissing when the database is none of ours, or no driver is there.
    """
    name = url.get_backend_name()
    if name not in BACKENDS:
        raise DriverMissing(
            f"{name} is no database of nova's; known are {', '.join(BACKENDS)}"
        )
    backend = BACKENDS[name]
    if url.drivername in backend.drivernames and backend.installed(url):
        return url, None
    ours = url.set(drivername=backend.drivernames[0])
    if not backend.installed(ours):
        raise DriverMissing(
            f"no driver for {name} is installed; install {backend.package}"
        )
    if url.drivername in backend.quietly:
        return ours, None
    return ours, f"{url.drivername} is not used here; using {ours.drivername} instead"
