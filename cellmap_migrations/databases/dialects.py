"""Choose the backend and the driver of a URL. Other rooms name no database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellmap_migrations.databases.mysql import MySQL
from cellmap_migrations.databases.postgresql import PostgreSQL
from cellmap_migrations.databases.sqlite import SQLite

if TYPE_CHECKING:
    from collections.abc import Mapping

    import sqlalchemy as sa

    from cellmap_migrations.databases.base import Backend


class DriverMissing(Exception):
    """Report that no driver for a URL is installed."""


# By the names in URLs. MariaDB and MySQL have the same backend.
BACKENDS: Mapping[str, Backend] = {
    "mysql": MySQL(),
    "mariadb": MySQL(),
    "postgresql": PostgreSQL(),
    "sqlite": SQLite(),
}

FILE_BASED = "sqlite"

# URL arguments that choose a database, besides host, port and name.
PLACE_ARGUMENTS = ("unix_socket", "read_default_file", "options")


def of(url: sa.URL) -> Backend:
    """Return the backend of *url*. ``with_driver`` must have accepted *url*."""
    return BACKENDS[url.get_backend_name()]


def default_port(name: str) -> int | None:
    """Return the port of a URL without a port."""
    return BACKENDS[name].port


def drivers() -> list[str]:
    """Return the names of all drivers, which are also those of their distributions."""
    names = (each.drivernames[0].partition("+")[2] for each in BACKENDS.values())
    return list(dict.fromkeys(filter(None, names)))


def with_driver(url: sa.URL) -> tuple[sa.URL, str | None]:
    """Return *url* with an installed driver, and a warning or None.

    Raises DriverMissing if the database is not supported or no driver is installed.
    """
    name = url.get_backend_name()
    if name not in BACKENDS:
        raise DriverMissing(
            f"database {name} is not supported; supported are {', '.join(BACKENDS)}"
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
    return ours, f"driver {url.drivername} is not used; using {ours.drivername} instead"
