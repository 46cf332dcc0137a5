"""Express the results of ``status`` and ``check`` as metrics of Prometheus.

The names follow https://prometheus.io/docs/practices/naming/. Importing this module
needs the extra ``prometheus``.
"""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.registry import Collector

from cellmap_migrations.bookkeeping.tables import COUNTS
from cellmap_migrations.common.secrets import one_line
from cellmap_migrations.comparing.differences import INFORMATION, Kind
from cellmap_migrations.config.nova_conf import version

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from prometheus_client import Metric

    from cellmap_migrations.output.report import Report


CELL = ("cell", "name")


class Families(Collector):
    """Hold the metrics of one command, for a registry."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self.families = families

    def collect(self) -> Iterable[Metric]:
        """Return the metrics."""
        return self.families


def exposition(families: Sequence[Metric]) -> bytes:
    """Return the metrics in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(Families(families))
    return generate_latest(registry)


def labels(cell: str | None, name: str | None) -> list[str]:
    """Return the values of CELL. Prometheus knows no escapes but its own three."""
    return [cell or "", one_line(name or "")]


def of_status(found: Mapping[str, Any]) -> list[Metric]:
    """Return the metrics for the result of ``status``.

    This includes the version of this package, and the time of the collection.
    """
    build = InfoMetricFamily(
        "cellmap_build",
        "Version of the cellmap-migrations that wrote these metrics.",
        value={"version": version()},
    )
    collected = GaugeMetricFamily(
        "cellmap_status_timestamp_seconds",
        "Unix time at which cellmap status had read these metrics.",
        value=time.time(),
    )
    return [build, collected, *states(found["cells"]), *totals(found["cells"])]


def states(cells: Sequence[Mapping[str, Any]]) -> list[Metric]:
    """Return the metrics of what each cell is now."""
    revision = InfoMetricFamily(
        "cellmap_revision",
        "The recorded revision of the cell; empty if none is recorded.",
        labels=CELL,
    )
    complete = GaugeMetricFamily(
        "cellmap_complete",
        "1 if the last revision is recorded and still true, else 0.",
        labels=CELL,
    )
    reachable = GaugeMetricFamily(
        "cellmap_reachable",
        "1 if the database of the cell answered, else 0.",
        labels=CELL,
    )
    last = GaugeMetricFamily(
        "cellmap_last_batch_timestamp_seconds",
        "Unix time at which the last batch of the cell began.",
        labels=CELL,
    )
    for cell in cells:
        own = labels(cell["cell"], cell["name"])
        revision.add_metric(own, {"revision": cell["revision"] or ""})
        complete.add_metric(own, cell["state"] == "complete")
        reachable.add_metric(own, cell["reachable"])
        if cell["last_batch"]:
            last.add_metric(own, unix_time(cell["last_batch"]))
    return [revision, complete, reachable, last]


def totals(cells: Sequence[Mapping[str, Any]]) -> list[Metric]:
    """Return the metrics that add up the journal of each cell, which is never cut."""
    batches = CounterMetricFamily(
        "cellmap_batches", "Committed batches of all runs.", labels=CELL
    )
    rows = CounterMetricFamily(
        "cellmap_rows",
        "Rows of all committed batches, by their outcome.",
        labels=(*CELL, "outcome"),
    )
    seconds = CounterMetricFamily(
        "cellmap_batch_seconds", "Seconds that all batches took.", labels=CELL
    )
    paused = CounterMetricFamily(
        "cellmap_paused_seconds",
        "Seconds of pause before all batches, by the option that caused them.",
        labels=(*CELL, "reason"),
    )
    for cell in cells:
        own = labels(cell["cell"], cell["name"])
        batches.add_metric(own, cell["batches"])
        seconds.add_metric(own, cell["seconds"])
        for outcome in COUNTS:
            rows.add_metric([*own, outcome], cell[outcome])
        for option, pause in cell["paused"].items():
            paused.add_metric([*own, option], pause)
    return [batches, rows, seconds, paused]


def unix_time(text: str) -> float:
    """Return the Unix time of a *text* in ISO 8601 that ends with Z."""
    naive = datetime.fromisoformat(text.removesuffix("Z"))
    return naive.replace(tzinfo=timezone.utc).timestamp()


def of_check(reports: Sequence[Report]) -> list[Metric]:
    """Return the metrics for the reports of ``check``, whose clocks have stopped.

    A cell whose comparison failed has no ``cellmap_check_differences``.
    """
    success = GaugeMetricFamily(
        "cellmap_check_success",
        "1 if the last cellmap check has compared the whole cell, else 0.",
        labels=CELL,
    )
    ended = GaugeMetricFamily(
        "cellmap_check_timestamp_seconds",
        "Unix time at which the last cellmap check of the cell ended.",
        labels=CELL,
    )
    duration = GaugeMetricFamily(
        "cellmap_check_duration_seconds",
        "Seconds that the last cellmap check of the cell took.",
        labels=CELL,
    )
    differences = GaugeMetricFamily(
        "cellmap_check_differences",
        "Differences that the last cellmap check of the cell found, by kind.",
        labels=(*CELL, "kind"),
    )
    for report in reports:
        own, found = labels(report.cell, report.name), report.details.get("differences")
        success.add_metric(own, found is not None)
        ended.add_metric(own, time.time() - report.age)
        duration.add_metric(own, report.seconds)
        for kind in Kind:
            if found is not None and kind not in INFORMATION:
                count = found.get(kind.value, {"count": 0})["count"]
                differences.add_metric([*own, kind.value], count)
    return [success, ended, duration, differences]
