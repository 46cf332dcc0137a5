"""Explain errors of PyMySQL that name neither an argument of a URL nor a cause."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlalchemy as sa


FILES = ("ssl_ca", "ssl_cert", "ssl_key")

SECONDS = ("connect_timeout", "read_timeout", "write_timeout")

PACKAGE = re.compile(r"'(\w+)' package is required")

EXTRAS = {"cryptography": "rsa", "pynacl": "ed25519"}


def explain(error: Exception, url: sa.URL) -> str | None:
    """Return what has to change after *error*, or None if that is not known."""
    missing = PACKAGE.search(str(error))
    if missing and missing[1] in EXTRAS:
        return (
            f"user {url.username} needs the Python package {missing[1]} to log in "
            f"without TLS; install PyMySQL[{EXTRAS[missing[1]]}]"
        )
    given = [(name, values[-1]) for name, values in url.normalized_query.items()]
    found = (unusable(name, value) for name, value in given)
    if why := next(filter(None, found), None):
        return why
    files = [f"{name}={value}" for name, value in given if name in FILES]
    # ssl.SSLError, too.
    if isinstance(error, OSError) and files:
        return f"there is no usable certificate or key in {', '.join(files)}: {error}"
    return None


def unusable(name: str, value: str) -> str | None:
    """Return why PyMySQL cannot use an argument, or None."""
    charsets: Any = importlib.import_module("pymysql.charset")
    if name == "charset" and charsets.charset_by_name(value) is None:
        return f"{name}={value} is no character set of PyMySQL's; write utf8mb4"
    if name in SECONDS and not value.isdecimal():
        return f"{name}={value} is no whole number of seconds"
    if name in FILES:
        try:
            Path(value).open("rb").close()
        except OSError as error:
            return (
                f"{name}={value} cannot be read ({error.strerror}); name a file that "
                "this user may read"
            )
    return None
