"""Keep passwords out of all output.

Messages of this package never contain a URL. A value from the command line or the
configuration goes through ``shown``. The text of a driver or of Python, such as a
traceback, goes through ``mask``.
"""

from __future__ import annotations

import re
from urllib.parse import quote, quote_plus, unquote

MASKED = "***"

SHORT = 4

# "@" follows a password, "?" precedes arguments, and ":/" remains of a URL that was
# taken for a relative path and made absolute.
MARKS_OF_A_URL = ("@", "?", ":/")

# URL arguments with a secret value.
ARGUMENTS = {
    "password",
    "passwd",
    "sslpassword",
    "ssl_key_password",
    "scram_client_key",
    "scram_server_key",
    "oauth_client_secret",
}

ARGUMENT = re.compile(rf"\b({'|'.join(ARGUMENTS)})=[^&]+")

KNOWN: set[str] = set()


def remember(password: str | None) -> None:
    """Make ``mask`` replace *password*, both plain and percent-encoded."""
    if password:
        # A "%" may belong to the password, or begin an escape.
        for text in (password, unquote(password)):
            for spelling in (text, quote(text, safe=""), quote_plus(text)):
                KNOWN.update((spelling, repr(spelling)[1:-1]))


def mask(text: object) -> str:
    """Return *text* with ``***`` for each password, on one line."""
    return " ".join(mask_line(str(text)).split())


def mask_line(line: str) -> str:
    """Return *line* with ``***`` for each password, and with its white space."""
    for password in sorted(KNOWN, key=len, reverse=True):
        # Short passwords are parts of many words. Masking those would betray them.
        if len(password) < SHORT:
            line = re.sub(rf"(?<!\w){re.escape(password)}(?!\w)", MASKED, line)
        else:
            line = line.replace(password, MASKED)
    # The password of a URL that this package never parsed may end at any @.
    head, slashes, rest = line.partition("://")
    if "@" in rest:
        return f"{head}{slashes}{MASKED}"
    return ARGUMENT.sub(rf"\g<1>={MASKED}", line)


def shown(value: object) -> str:
    """Return the masked text of *value*, or only ``***`` if it may be a URL."""
    text = str(value)
    return MASKED if any(mark in text for mark in MARKS_OF_A_URL) else mask(text)


def without_value(error: object, colon: str = ": ") -> str:
    """Return the masked text of *error*; ``shown`` masks the part after *colon*."""
    words, colon, value = str(error).partition(colon)
    return f"{mask(words)}{colon}{shown(value)}"


def one_line(text: str) -> str:
    """Return *text* with each unprintable character escaped.

    A line break or a control sequence could forge output. Names of cells, uuids and
    messages of drivers come from databases, which may hold any character.
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode()
        for each in text
    )
