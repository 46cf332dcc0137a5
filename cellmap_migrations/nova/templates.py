"""Expand the templates of database URLs by nova's rules."""

from __future__ import annotations

import importlib
import re
from contextlib import suppress
from string import Formatter
from typing import Any
from urllib.parse import SplitResult, urlsplit

# The name of a variable after "{". "{{" is a literal brace.
VARIABLE = re.compile(
    r"(?<!{)(?:{{)*{"
    r"((?:username|password|hostname|port)\d*|scheme|query|fragment|path)\b"
)

# A password in another part of a URL would not be masked.
MISPLACED = re.compile(
    r"(?<!:){password|{password(?!\d*}@)|(?<![?&]){query|{query(?!})"
)

# A width of four digits, or of a variable, could make Python fill gigabytes.
WIDE = re.compile(r"\d{4}|{")


def expand(stored: str, base: str | None) -> str:
    """Return *stored*, expanded with the parts of *base* as nova does it.

    *stored* is ``cell_mappings.database_connection`` and *base* is nova.conf's
    ``[database] connection``. nova formats every stored URL, even without variables, so
    ``{{`` becomes ``{``. If that fails, nova uses the stored text
    (``CellMapping.format_db_url``, 18.0.0).

    Raises ValueError for a template that nova would turn into an unusable URL, because
    *base* is None or has no value for a variable.
    """
    if any(map(WIDE.search, format_specs(stored))):
        raise ValueError("it is a template that asks for more than a URL can be")
    variables = VARIABLE.findall(stored)
    if base is None:
        if variables:
            raise ValueError(
                "it is a template, but [database] connection is not set in nova.conf"
            )
        return stored
    try:
        values = template_values(base)
        expanded = stored.format(**values)
    # format() fails on a password with braces. nova then uses the stored text.
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


def misplaces_secret(stored: str) -> bool:
    """Return True if *stored* has ``{password}`` or ``{query}`` in a wrong place.

    The query of nova.conf's URL may also contain a password.
    """
    before, asked, _ = stored.partition("{query")
    return bool(MISPLACED.search(stored)) or bool(asked and "?" not in before)


def format_specs(stored: str) -> list[str]:
    """Return the format specifications of *stored*, such as ``>6``."""
    specs = []
    # format() also expands the fields before an invalid one.
    with suppress(ValueError):
        for _, _, spec, _ in Formatter().parse(stored):
            specs.append(spec or "")
    return specs


def template_values(base: str) -> dict[str, object]:
    """Return the values of nova's template variables in *base*.

    Values stay percent-encoded. The host is in lower case, and an IPv6 address has no
    brackets. Several hosts also have ``username1``, ``hostname2`` and so on.
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
        # It imports netaddr and psutil, and few URLs have several hosts.
        netutils: Any = importlib.import_module("oslo_utils.netutils")
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
