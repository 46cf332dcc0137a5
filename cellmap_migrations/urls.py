"""Database URLs as nova means them: templates, drivers, and which database it is."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter
from urllib.parse import SplitResult, urlsplit

import sqlalchemy as sa
from oslo_utils import netutils

from cellmap_migrations import backends, secrets
from cellmap_migrations.errors import UrlUnusable

# Arguments of a URL that hold a secret.
SECRET_ARGUMENTS = {"password", "passwd", "sslpassword", "ssl_key_password"}

VARIABLE = re.compile(
    r"(username|password|hostname|port)\d*$|(scheme|query|fragment|path)$"
)


def expand(stored: str, base: str | None) -> str:
    """Return *stored* with the parts of *base* filled in, as nova does it.

    *stored* is ``cell_mappings.database_connection`` and *base* is nova.conf's
    ``[database] connection``. nova formats every stored URL, template or not (so
    ``{{`` becomes ``{``), and falls back to the stored text if that fails
    (nova 18.0.0, ``CellMapping.format_db_url``).

    Raises ValueError where nova would go on with a URL that cannot work: a template
    without a base, or with a variable for which the base has no value.
    """
    if base is None:
        if variables(stored):
            raise ValueError(
                "it is a template, but [database] connection is not set in nova.conf"
            )
        return stored
    try:
        values = parts(base)
        expanded = stored.format(**values)
    # Whatever format() raises on a password with braces in it, nova uses it raw.
    except (ValueError, LookupError, AttributeError, TypeError):
        if variables(stored):
            raise ValueError(
                "it is a template that [database] connection cannot fill"
            ) from None
        return stored
    if empty := [name for name in variables(stored) if values.get(name) is None]:
        raise ValueError(
            f"it asks for {{{empty[0]}}}, which [database] connection does not have"
        )
    return expanded


def variables(stored: str) -> list[str]:
    """Return the names of nova's template variables that *stored* refers to."""
    try:
        fields = [name or "" for _, name, _, _ in Formatter().parse(stored)]
    except ValueError:
        fields = re.findall(r"{(\w+)", stored)
    names = [re.split(r"[.\[!:]", field)[0] for field in fields]
    return [name for name in names if VARIABLE.match(name)]


def parts(base: str) -> dict[str, object]:
    """Return the values of nova's template variables, as *base* spells them.

    Nothing is unquoted, the host is in lower case, an IPv6 address has no brackets;
    with several hosts there is also ``username1``, ``hostname2`` and so on.
    """
    url: SplitResult = urlsplit(base)
    values: dict[str, object] = {
        "username": url.username,
        "password": url.password,
        "hostname": url.hostname,
        "port": url.port,
        "scheme": url.scheme,
        "query": url.query,
        "fragment": url.fragment,
        "path": url.path.lstrip("/"),
    }
    if "," in url.netloc:
        for number, netloc in enumerate(url.netloc.split(","), start=1):
            user, _at, host = (
                netloc.partition("@") if "@" in netloc else ("", "", netloc)
            )
            name, colon, password = user.partition(":")
            hostname, port = netutils.parse_host_port(host)
            values[f"username{number}"] = name
            values[f"password{number}"] = password if colon else None
            values[f"hostname{number}"] = hostname
            values[f"port{number}"] = port
    return values


def parse(text: str, what: str) -> tuple[sa.URL, str | None]:
    """Return the URL with a driver that is installed, and a warning or None.

    Raises UrlUnusable, which never shows *text*: it may hold a password.
    """
    try:
        url = sa.make_url(text)
        for name in SECRET_ARGUMENTS & url.query.keys():
            secrets.remember(str(url.query[name]))
        # Where it belongs, SQLAlchemy hides it from everything it prints.
        for name in ("password", "passwd"):
            if name in url.query:
                url = url.set(password=str(url.query[name]))
                url = url.difference_update_query([name])
        secrets.remember(url.password)
        return backends.with_driver(url)
    # make_url raises ValueError for a port that is no number.
    except (sa.exc.ArgumentError, ValueError):
        raise UrlUnusable(
            what, "its text is not a database URL (driver://user:password@host/name)"
        ) from None
    except backends.DriverMissing as missing:
        raise UrlUnusable(what, str(missing)) from None


def identity(url: sa.URL) -> tuple[str, ...]:
    """Return what tells one database from another, whatever user or driver asks."""
    backend = url.get_backend_name()
    if backend == backends.FILE_BASED:
        return (backend, str(Path(file_path(url)).resolve()))
    elsewhere = (url.query.get(name, "") for name in backends.PLACE_ARGUMENTS)
    host = (url.host or "").lower()
    return (
        backend,
        "127.0.0.1" if host == "localhost" else host,
        str(url.port or backends.default_port(backend)),
        url.database or "",
        *map(str, elsewhere),
    )


def file_path(url: sa.URL) -> str:
    """Return the path of a database that is a file."""
    return (url.database or "").removeprefix("file:")


def show(url: sa.URL) -> str:
    """Return where *url* leads, without user, password and arguments."""
    backend = url.get_backend_name()
    if backend == backends.FILE_BASED:
        return f"{backend} {file_path(url)}"
    host = f"{url.host or 'default host'}:{url.port or backends.default_port(backend)}"
    return f"{backend} {host}/{url.database or ''}"
