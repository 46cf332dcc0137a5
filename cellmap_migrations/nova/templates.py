"""Templates of database URLs as nova means them."""

from __future__ import annotations

import re
from contextlib import suppress
from string import Formatter
from urllib.parse import SplitResult, urlsplit

from oslo_utils import netutils

# The name behind an opening brace; two braces are a brace of the text.
VARIABLE = re.compile(
    r"(?<!{)(?:{{)*{"
    r"((?:username|password|hostname|port)\d*|scheme|query|fragment|path)\b"
)

# Elsewhere it would be shown, as a part of what is no secret.
MISPLACED = re.compile(
    r"(?<!:){password|{password(?!\d*}@)|(?<![?&]){query|{query(?!})"
)

# Python would fill gigabytes: four digits, or a width that is a variable itself.
WIDE = re.compile(r"\d{4}|{")


def expand(stored: str, base: str | None) -> str:
    """Return *stored* with the parts of *base* filled in, as nova does it.

    *stored* is ``cell_mappings.database_connection`` and *base* is nova.conf's
    ``[database] connection``. nova formats every stored URL, template or not (so
    ``{{`` becomes ``{``), and falls back to the stored text if that fails
    (nova 18.0.0, ``CellMapping.format_db_url``).

    Raises ValueError where nova would go on with a URL that cannot work: a template
    without a base, or with a variable for which the base has no value.
    """
    if any(map(WIDE.search, widths(stored))):
        raise ValueError("it is a template that asks for more than a URL can be")
    variables = VARIABLE.findall(stored)
    if base is None:
        if variables:
            raise ValueError(
                "it is a template, but [database] connection is not set in nova.conf"
            )
        return stored
    try:
        values = parts(base)
        expanded = stored.format(**values)
    # Whatever format() raises on a password with braces in it, nova uses it raw.
    except (ValueError, LookupError, AttributeError, TypeError):
        if variables:
            raise ValueError(
                "it is a template that [database] connection cannot fill"
            ) from None
        return stored
    if empty := [name for name in variables if values.get(name) is None]:
        raise ValueError(
            f"it asks for {{{empty[0]}}}, which [database] connection does not have"
        )
    return expanded


def misplaced(stored: str) -> bool:
    """Say whether *stored* asks for a password where none belongs.

    nova.conf's may also be in what ``{query}`` stands for.
    """
    before, asked, _ = stored.partition("{query")
    return bool(MISPLACED.search(stored)) or bool(asked and "?" not in before)


def widths(stored: str) -> list[str]:
    """Return the format specifications of *stored*, such as ``>6``."""
    specs = []
    # format() too fills the fields in front of an error before it comes to that.
    with suppress(ValueError):
        for _, _, spec, _ in Formatter().parse(stored):
            specs.append(spec or "")
    return specs


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
