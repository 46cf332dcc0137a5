"""Keep passwords out of everything that is printed.

Own sentences never contain a URL. A value that somebody gave goes through ``shown``,
and foreign text (a driver's message, a traceback) through ``mask``.
"""

from __future__ import annotations

import re
from urllib.parse import quote, quote_plus, unquote

MASKED = "***"

SHORT = 4

# A password is in front of the first, or behind the second. The third is what a path
# made absolute leaves of a URL.
MARKS_OF_A_URL = ("@", "?", ":/")

# Arguments of a URL that hold a secret.
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
    """Mask *password* from now on, as it is and in its percent-encoded spellings."""
    if password:
        # It may be percent-encoded already, or only look so.
        for text in (password, unquote(password)):
            for spelling in (text, quote(text, safe=""), quote_plus(text)):
                KNOWN.update((spelling, repr(spelling)[1:-1]))


def mask(text: object) -> str:
    """Return *text* without passwords, on one line."""
    return " ".join(mask_line(str(text)).split())


def mask_line(line: str) -> str:
    """Return *line* without passwords, its spaces as they are."""
    for password in sorted(KNOWN, key=len, reverse=True):
        # A short one would be found in any word, and the gaps would tell it.
        if len(password) < SHORT:
            line = re.sub(rf"(?<!\w){re.escape(password)}(?!\w)", MASKED, line)
        else:
            line = line.replace(password, MASKED)
    # A URL that this package never read: its login may end at any @.
    head, slashes, rest = line.partition("://")
    if "@" in rest:
        return f"{head}{slashes}{MASKED}"
    return ARGUMENT.sub(rf"\g<1>={MASKED}", line)


def shown(value: object) -> str:
    """Return what somebody gave as it is, or ``***`` if it may be a URL."""
    text = str(value)
    return MASKED if any(mark in text for mark in MARKS_OF_A_URL) else mask(text)


def without_value(error: object, colon: str = ": ") -> str:
    """Return the text of *error*, with what follows the first *colon* as ``shown``."""
    words, colon, value = str(error).partition(colon)
    return f"{mask(words)}{colon}{shown(value)}"


def one_line(text: str) -> str:
    """Return *text* with an escape for whatever would end or move a terminal's line.

    Names of cells, uuids and what drivers say come from databases, and somebody may
    have put anything into those.
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode()
        for each in text
    )
