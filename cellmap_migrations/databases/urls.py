"""Database URLs: what may be in one, its driver, and which database it is."""

from __future__ import annotations

import re
from contextlib import suppress
from itertools import chain
from pathlib import Path
from urllib.parse import unquote

import sqlalchemy as sa

from cellmap_migrations.common import secrets
from cellmap_migrations.common.errors import UrlUnusable
from cellmap_migrations.databases import base, dialects

# The start of a secret argument where no argument can be.
SLIPPED = re.compile(rf"\b({'|'.join(secrets.ARGUMENTS)})=")

# A host of hexadecimal digits and colons only, as in a login's ``@::1/``.
IPV6 = re.compile(r"(?:@|//)[\da-fA-F]*:[\da-fA-F]*:[\da-fA-F:.]*(?:[/?]|$)")


def learn(text: str | None) -> sa.URL | None:
    """Mask the passwords in a URL from now on; return it, or None if it is no URL."""
    try:
        url = sa.make_url(text or "")
    # ValueError for a port that is no number.
    except (sa.exc.ArgumentError, ValueError):
        return None
    for name in secrets.ARGUMENTS & url.query.keys():
        for value in url.normalized_query[name]:
            secrets.remember(value)
    secrets.remember(url.password)
    return url


def parse(text: str, what: str) -> tuple[sa.URL, str | None]:
    """Return the URL with a driver that is installed, and a warning or None.

    Raises UrlUnusable, which never shows *text*: it may hold a password.
    """
    url = learn(text)
    if url is None:
        raise UrlUnusable(
            what,
            "its host is an IPv6 address without brackets; write [address], and "
            "[{hostname}] in a template"
            if IPV6.search(text)
            else "its text is not a database URL (driver://user:password@host/name)",
        )
    # SQLAlchemy hides a password from everything it prints, but not an argument.
    for name in ("password", "passwd"):
        if name in url.query:
            url = url.set(password=url.normalized_query[name][-1])
            url = url.difference_update_query([name])
    refuse_misread(url, what)
    try:
        return dialects.with_driver(url)
    except base.DriverMissing as missing:
        raise UrlUnusable(what, str(missing)) from None


def refuse_misread(url: sa.URL, what: str) -> None:
    """Raise UrlUnusable where a part of a password was taken for something else.

    The first ``@`` ends a login, even one in the arguments, and what follows would be
    shown as host or as database.
    """
    shown = "".join([*place(url), file_path(url), *url.query])
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


def refused(url: sa.URL, *ours: str) -> list[str]:
    """Return the arguments of a cell's *url* that only nova.conf may give.

    Whoever may write ``cell_mappings`` must not get at the host on which this runs, so
    *url* has only arguments that are known to be harmless, or that are in *ours* too,
    which are the connections of nova.conf.
    """
    known = filter(None, map(learn, ours))
    given = set(chain.from_iterable(url.query.items() for url in known))
    allowed = dialects.of(url).arguments
    return [
        name
        for name, values in url.normalized_query.items()
        if (name, url.query[name]) not in given
        and not (name in allowed and all(map(allowed[name].fullmatch, values)))
    ]


def identity(url: sa.URL) -> tuple[str, ...]:
    """Return what tells one database from another, whatever user or driver asks."""
    backend = url.get_backend_name()
    if backend == dialects.FILE_BASED:
        path = Path(file_path(url)).resolve()
        # Two names of one file have one inode.
        with suppress(OSError):
            found = path.stat()
            return (backend, f"{found.st_dev}:{found.st_ino}")
        return (backend, str(path))
    elsewhere = (url.query.get(name, "") for name in dialects.PLACE_ARGUMENTS)
    host, port = place(url)
    return (
        backend,
        "127.0.0.1" if host == "localhost" else host,
        port or str(dialects.default_port(backend)),
        url.database or "",
        *map(str, elsewhere),
    )


def place(url: sa.URL) -> tuple[str, str]:
    """Return host and port; of libpq's arguments the same, which count for more."""
    host, port = (
        url.query.get(name) or found or ""
        for name, found in (("host", url.host), ("port", url.port))
    )
    return joined(host).lower(), joined(port)


def joined(value: object) -> str:
    """Return an argument of a URL, which may be given several times, as one text."""
    return ",".join(value) if isinstance(value, tuple) else str(value)


def file_path(url: sa.URL) -> str:
    """Return the path of a database that is a file."""
    path = url.database or ""
    return unquote(path.removeprefix("file:")) if path.startswith("file:") else path


def show(url: sa.URL) -> str:
    """Return where *url* leads, without user, password and arguments."""
    backend = url.get_backend_name()
    if backend == dialects.FILE_BASED:
        return f"{backend} {file_path(url)}"
    host, port = place(url)
    at = f"{host or 'default host'}:{port or dialects.default_port(backend)}"
    return f"{backend} {at}/{url.database or ''}"
