"""Render the page: one file, under a Content-Security-Policy that it brings itself."""

from __future__ import annotations

import base64
import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from cellmap_migrations.common import secrets
from cellmap_migrations.nova.rules import Outcome
from cellmap_migrations.output.html.charts import draw
from cellmap_migrations.output.report import spell

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cellmap_migrations.output.html.model import Decision, Page


# Rows of the table of decisions that a browser without JavaScript shows, and that one
# with JavaScript shows at first. All rows are in the JSON.
FIRST_ROWS = 50

# Pauses of a walk that are listed below its charts.
MOST_PAUSES = 100

# A number that is not known.
UNKNOWN = "-"


def render(page: Page) -> str:
    """Return the page as ASCII: its bytes are right in every encoding and locale."""
    environment = Environment(
        loader=PackageLoader("cellmap_migrations", "output/html/templates"),
        autoescape=True,
        finalize=masked,
        lstrip_blocks=True,
        trim_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters.update(
        number=number,
        percent=percent,
        duration=duration,
        time="{:%d %b %Y %H:%M}".format,
        second="{:%d %b %Y %H:%M:%S}".format,
    )
    environment.globals.update(segments=segments, spell=spell, draw=draw)
    # An inline style or script is allowed by the hash of its exact text.
    style, script = (inline(environment, name) for name in ("report.css", "report.js"))
    text = environment.get_template("report.html.j2").render(
        page=page,
        outcomes=[outcome.value for outcome in Outcome],
        style=style,
        script=script,
        policy=policy(style, script),
        shown=page.decisions[:FIRST_ROWS],
        most_pauses=MOST_PAUSES,
        rows=as_rows(page.decisions),
    )
    return text.encode("ascii", "xmlcharrefreplace").decode("ascii")


def masked(value: Any) -> Any:
    """Return *value* for output: no text has a password or a control character."""
    if isinstance(value, str) and not isinstance(value, Markup):
        lines = value.split("\n")
        return "\n".join(secrets.one_line(secrets.mask_line(line)) for line in lines)
    return value


def inline(environment: Environment, name: str) -> Markup:
    """Return the text of a file that becomes a part of the page, unchanged."""
    assert environment.loader
    source, *_ = environment.loader.get_source(environment, name)
    return Markup(source)  # noqa: S704 - a file of this package


def policy(style: str, script: str) -> str:
    """Return the Content-Security-Policy: nothing is loaded, sent or evaluated."""
    return "; ".join(
        (
            "default-src 'none'",
            f"style-src '{digest(style)}'",
            f"script-src '{digest(script)}'",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def digest(text: str) -> str:
    """Return the hash by which a policy allows *text*."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def as_rows(decisions: Sequence[Decision]) -> list[list[str]]:
    """Return the rows of the JSON, in the order of the columns."""
    return [
        [masked(each) for each in (row.uuid, row.cell, row.kind, row.why, row.command)]
        for row in decisions
    ]


def segments(outcomes: Mapping[str, int]) -> list[tuple[str, int, float, float]]:
    """Return name, count, start and width in percent of each part of a bar."""
    total, start, parts = sum(outcomes.values()), 0.0, []
    for name, count in outcomes.items():
        if count:
            width = 100 * count / total
            parts.append((name, count, start, width))
            start += width
    return parts


def number(value: float | None) -> str:
    """Return *value* with thousands separators, or a dash if it is not known."""
    return UNKNOWN if value is None else f"{value:,.0f}"


def percent(share: float | None) -> str:
    """Return *share* in percent; 100 % only if nothing is missing."""
    if share is None:
        return UNKNOWN
    return "100 %" if share == 1 else f"{int(share * 1000) / 10:.1f} %"


def duration(seconds: float | None) -> str:
    """Return *seconds* as hours, minutes and seconds, or a dash."""
    return UNKNOWN if seconds is None else str(timedelta(seconds=round(seconds)))
