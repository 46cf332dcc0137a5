"""Parse database URLs, refuse dangerous ones, and compare their databases."""

from __future__ import annotations

import re
from contextlib import suppress
from itertools import chain
from pathlib import Path
from urllib.parse import unquote

import sqlalchemy as sa

from cellmap_migrations.common import secrets
from cellmap_migrations.common.errors import UrlUnusable
from cellmap_migrations.databases import dialects

# A secret argument in the login, host or path of a URL.
SLIPPED = re.compile(rf"\b({'|'.join(secrets.ARGUMENTS)})=")

# A host of hexadecimal digits and colons only, as in a login's ``@::1/``.
IPV6 = re.compile(r"(?:@|//)[\da-fA-F]*:[\da-fA-F]*:[\da-fA-F:.]*(?:[/?]|$)")


def remember_passwords(text: str | None) -> sa.URL | None:
    """Mask the passwords of a URL from now on; return the URL, or None if invalid."""
    try:
        url = sa.make_url(text or "")
    # make_url raises ValueError for an invalid port.
    except (sa.exc.ArgumentError, ValueError):
        return None
    for name in secrets.ARGUMENTS & url.query.keys():
        for value in url.normalized_query[name]:
            secrets.remember(value)
    secrets.remember(url.password)
    return url


def parse(text: str, what: str) -> tuple[sa.URL, str | None]:
    """Return the URL with an installed driver, and a warning or None.

    Raises UrlUnusable, which does not show *text*, because it may have a password.
    """
    url = remember_passwords(text)
    if url is None:
        raise UrlUnusable(
            what,
            "its host is an IPv6 address without brackets; write [address], and "
            "[{hostname}] in a template"
            if IPV6.search(text)
            else "its text is not a database URL (driver://user:password@host/name)",
        )
    # SQLAlchemy masks a password when it prints a URL, but no argument.
    for name in ("password", "passwd"):
        if name in url.query:
            url = url.set(password=url.normalized_query[name][-1])
            url = url.difference_update_query([name])
    refuse_misread(url, what)
    try:
        return dialects.with_driver(url)
    except dialects.DriverMissing as missing:
        raise UrlUnusable(what, str(missing)) from None


def refuse_misread(url: sa.URL, what: str) -> None:
    """Raise UrlUnusable if a part of a password may be in another part of *url*.

    An unquoted ``@`` in a password ends the login, and the rest of the password would
    be shown as host or database.
    """
    shown = "".join([*host_and_port(url), file_path(url), *url.query])
    values = chain.from_iterable(url.normalized_query.values())
    if not "".join([url.username or "", shown, *values]).isprintable():
        raise UrlUnusable(what, "it has a control character or a line break in it")
    in_a_path = url.get_backend_name() == dialects.FILE_BASED and ":" not in shown
    _, _, arguments = f"{url.username}:{url.password}".replace("&", "?").partition("?")
    if ("@" in shown and not in_a_path) or SLIPPED.search(f"{arguments} {shown}"):
        raise UrlUnusable(
            what,
            "it has an @ or a secret in the wrong place; write @ in a password as %40",
        )


def refused_arguments(url: sa.URL, *ours: str) -> list[str]:
    """Return the arguments that a cell's *url* must not have.

    A user who may write ``cell_mappings`` must not gain access to this host. So *url*
    may have only harmless arguments, and those of *ours*, the URLs in nova.conf.
    """
    known = filter(None, map(remember_passwords, ours))
    given = set(chain.from_iterable(url.query.items() for url in known))
    allowed = dialects.of(url).arguments
    return [
        name
        for name, values in url.normalized_query.items()
        if (name, url.query[name]) not in given
        and not (name in allowed and all(map(allowed[name].fullmatch, values)))
    ]


def identity(url: sa.URL) -> tuple[str, ...]:
    """Return a key of the database that *url* leads to, without user and driver."""
    backend = url.get_backend_name()
    if backend == dialects.FILE_BASED:
        path = Path(file_path(url)).resolve()
        # All paths of one file have the same inode.
        with suppress(OSError):
            found = path.stat()
            return (backend, f"{found.st_dev}:{found.st_ino}")
        return (backend, str(path))
    elsewhere = (url.query.get(name, "") for name in dialects.PLACE_ARGUMENTS)
    host, port = host_and_port(url)
    return (
        backend,
        "127.0.0.1" if host == "localhost" else host,
        port or str(dialects.default_port(backend)),
        url.database or "",
        *map(str, elsewhere),
    )


def host_and_port(url: sa.URL) -> tuple[str, str]:
    """Return host and port; libpq's arguments of these names override both."""
    host, port = (
        url.query.get(name) or found or ""
        for name, found in (("host", url.host), ("port", url.port))
    )
    return joined(host).lower(), joined(port)


def joined(value: object) -> str:
    """Return the values of a URL argument as one text."""
    return ",".join(value) if isinstance(value, tuple) else str(value)


def file_path(url: sa.URL) -> str:
    """Return the path of a database that is a file."""
    path = url.database or ""
    return unquote(path.removeprefix("file:")) if path.startswith("file:") else path


def show(url: sa.URL) -> str:
    """Return kind, address and name of the database, without user and password."""
    backend = url.get_backend_name()
    if backend == dialects.FILE_BASED:
        return f"{backend} {file_path(url)}"
    host, port = host_and_port(url)
    at = f"{host or 'default host'}:{port or dialects.default_port(backend)}"
    return f"{backend} {at}/{url.database or ''}"
