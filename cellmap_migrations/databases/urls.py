"""Database URLs: what may be in one, its driver, and which database it is."""

from __future__ import annotations

import re
from contextlib import suppress
from ipaddress import IPv6Address
from pathlib import Path
from urllib.parse import unquote

import sqlalchemy as sa

from cellmap_migrations.common import secrets
from cellmap_migrations.common.errors import UrlUnusable
from cellmap_migrations.databases import base, dialects

SECRET = re.compile(rf"\b({'|'.join(secrets.ARGUMENTS)})=")


def parse(text: str, what: str) -> tuple[sa.URL, str | None]:
    """Return the URL with a driver that is installed, and a warning or None.

    Raises UrlUnusable, which never shows *text*: it may hold a password.
    """
    try:
        url = sa.make_url(text)
        values = url.normalized_query
        for name in secrets.ARGUMENTS & values.keys():
            for value in values[name]:
                secrets.remember(value)
        # Where it belongs, SQLAlchemy hides it from everything it prints.
        for name in ("password", "passwd"):
            if name in values:
                url = url.set(password=values[name][-1])
                url = url.difference_update_query([name])
        secrets.remember(url.password)
        refuse_misread(url, what)
        return dialects.with_driver(url)
    # make_url raises ValueError for a port that is no number.
    except (sa.exc.ArgumentError, ValueError):
        raise UrlUnusable(what, misspelled(text)) from None
    except base.DriverMissing as missing:
        raise UrlUnusable(what, str(missing)) from None


def misspelled(text: str) -> str:
    """Return why *text* is no URL, without showing any of it."""
    place = re.split(r"[/?]", text.rpartition("@")[2], maxsplit=1)[0]
    for host in (place, place.rpartition(":")[0]):
        with suppress(ValueError):
            IPv6Address(host)
            return (
                "its host is an IPv6 address without brackets; write [address], and "
                "[{hostname}] in a template"
            )
    return "its text is not a database URL (driver://user:password@host/name)"


def refuse_misread(url: sa.URL, what: str) -> None:
    """Raise UrlUnusable where a part of a password was taken for something else.

    The first ``@`` ends a login, even one in the arguments, and what follows would be
    shown as host or as database.
    """
    words = [url.username, url.host, file_path(url), *url.query]
    words += [value for found in url.normalized_query.values() for value in found]
    if not "".join(filter(None, words)).isprintable():
        raise UrlUnusable(what, "it has a control character or a line break in it")
    shown = "".join([*place(url), file_path(url), *url.query])
    in_a_path = url.get_backend_name() == dialects.FILE_BASED and ":" not in shown
    login = re.search(r"[?&].*", f"{url.username}:{url.password}", re.DOTALL)
    slipped = SECRET.search(f"{login and login[0]} {shown}")
    if ("@" in shown and not in_a_path) or slipped:
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
    given = set()
    for text in ours:
        with suppress(sa.exc.ArgumentError, ValueError):
            given |= set(sa.make_url(text).query.items())
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
