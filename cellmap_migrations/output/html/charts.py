"""Draw charts as SVG elements, whose colours are in the style sheet of the page."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from leather import Chart
from leather.series import Series
from leather.shapes import Line
from markupsafe import Markup

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from cellmap_migrations.output.html.model import PauseSpan, Timeline


# Units of the SVG, which are pixels on a wide screen.
WIDTH, HEIGHT = 760, 230

# leather leaves an empty margin of 38 at each side. This much is cut off; half of the
# label of the last time is in the right margin.
CUT, CUT_RIGHT = 30, 4


class Paced(Line):  # type: ignore[misc] # leather has no types
    """Draw a line over the pauses of a run, which are shaded."""

    def __init__(self, pauses: Sequence[PauseSpan]) -> None:
        super().__init__()
        self.pauses = pauses

    def to_svg(
        self, width: float, height: float, x_scale: Any, *others: Any
    ) -> ET.Element:
        """Return the pauses and the line; leather's Chart passes the arguments."""
        group = ET.Element("g")
        for pause in self.pauses:
            left, right = (
                x_scale.project(time, 0, width) for time in (pause.start, pause.end)
            )
            band = ET.SubElement(
                group,
                "rect",
                {"class": "pause", "x": f"{left:.1f}", "y": "0"},
                width=f"{max(right - left, 1):.1f}",
                height=f"{height:.1f}",
            )
            title = ET.SubElement(band, "title")
            title.text = f"paused for {pause.seconds:,.0f} s: {pause.reason}"
        group.append(super().to_svg(width, height, x_scale, *others))
        return group


def draw(
    timeline: Timeline, points: Sequence[tuple[datetime, float]], label: str
) -> Markup:
    """Return an SVG of *points* over the time of *timeline*; *label* describes it."""
    chart = Chart()
    chart.add_x_scale(timeline.start, timeline.end)
    chart.add_y_scale(0, max(1.0, *(value for _, value in points)))
    chart.add_x_axis(tick_formatter=time_format(timeline.end - timeline.start))
    chart.add_y_axis(tick_formatter=lambda value, *_: f"{value:,.0f}")
    chart.add_series(Series(points), Paced(timeline.pauses))
    root = ET.Element(
        "svg",
        {"class": "chart", "role": "img", "aria-label": label},
        viewBox=f"{CUT} {CUT} {WIDTH - CUT - CUT_RIGHT} {HEIGHT - 2 * CUT}",
    )
    root.append(chart.to_svg_group(WIDTH, HEIGHT))
    return Markup(ET.tostring(root, encoding="unicode"))  # noqa: S704 - ET escapes


def time_format(span: timedelta) -> Any:
    """Return leather's formatter of a time at an axis that covers *span*."""
    form = "%H:%M"
    if span < timedelta(minutes=8):
        form = "%H:%M:%S"
    elif span > timedelta(days=1):
        form = "%d %b %H:%M"
    return lambda value, *_: f"{value:{form}}"
