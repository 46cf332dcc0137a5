"""Keep passwords out of everything that is printed.

Own sentences never contain a URL's password. Foreign text (a driver's message, an
oslo message, a traceback) goes through ``mask`` before it is shown.
"""

from __future__ import annotations

import re
from urllib.parse import quote, quote_plus, unquote

MASKED = "***"

SHORT = 4

# Also where a slip of the hand made no URL of it, as long as it begins like one.
USERINFO = re.compile(
    r"((?::(?=//)|//[^\s/?#:@]*:|\b(?:mysql|mariadb|postgres)[\w+]*\s*:)"
    r"\s*(?://[^\s/?#:@]*:)?).*",
    re.DOTALL,
)

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
        plain = unquote(password)
        for spelling in (password, plain, quote(plain, safe=""), quote_plus(plain)):
            KNOWN.update((spelling, repr(spelling)[1:-1]))


def mask(text: object, head: str = "://") -> str:
    """Return *text* without passwords, on one line; a URL in it begins with *head*."""
    return " ".join(mask_line(str(text), head).split())


def mask_line(line: str, head: str = "://") -> str:
    """Return *line* without passwords, its spaces as they are."""
    for password in sorted(KNOWN, key=len, reverse=True):
        # A short one would be found in any word, and the gaps would tell it.
        if len(password) < SHORT:
            line = re.sub(rf"(?<!\w){re.escape(password)}(?!\w)", MASKED, line)
        else:
            line = line.replace(password, MASKED)
    # Whole passwords come first, and what is one argument only comes last: either may
    # have a question mark in it, or the @ that ends a login.
    line = without_arguments(line, head)
    line = ARGUMENT.sub(rf"\g<1>={MASKED}", line)
    # Cut before it is searched, so that a text full of such heads takes no longer.
    before, at, after = line.rpartition("@")
    return USERINFO.sub(rf"\g<1>{MASKED}", before, count=1) + at + after


def without_arguments(text: str, head: str) -> str:
    """Mask the arguments of a URL: what is behind the first ``?`` after *head*.

    In a name with a slip of the hand, ``pass word``, nothing says that it is a secret,
    and a password with a ``&`` that is not escaped looks like several arguments.
    """
    before, _, after = text.partition(head)
    shown, mark, arguments = after.partition("?")
    if "=" not in arguments:
        return text
    if "@" in arguments:
        # Those may be the password of a login.
        shown = mark = ""
    return f"{before}{head}{shown}{mark}{MASKED}"


def mask_given(text: object) -> str:
    """Return *text*, which shows what somebody gave, without what may be a password.

    A URL given for something else may be one no more: with a letter too many, or with
    a slash less since it was taken for a path and made absolute.
    """
    return re.sub(r":.*@", f":{MASKED}@", mask(text, ":"))


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
