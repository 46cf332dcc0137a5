"""Keep passwords out of everything that is printed.

Own sentences never contain a URL's password. Foreign text (a driver's message, an
oslo message, a traceback) goes through ``mask`` before it is shown.
"""

from __future__ import annotations

import re
from urllib.parse import quote, quote_plus, unquote

MASKED = "***"
SHORT = 4
USERINFO = re.compile(r"(?P<head>://[^\s/?#:@]*:).*(?P<tail>@)")

KNOWN: set[str] = set()


def remember(password: str | None) -> None:
    """Mask *password* from now on, as it is and in its percent-encoded spellings."""
    if password:
        plain = unquote(password)
        for spelling in (password, plain, quote(plain, safe=""), quote_plus(plain)):
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
    return USERINFO.sub(rf"\g<head>{MASKED}\g<tail>", line)
