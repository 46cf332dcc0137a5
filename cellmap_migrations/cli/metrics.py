"""Write metrics in place of the output of ``status`` and ``check``."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from cellmap_migrations.cli import common
from cellmap_migrations.common.errors import Stopped
from cellmap_migrations.common.sentences import NoPrometheus
from cellmap_migrations.output import report
from cellmap_migrations.output.files import replace_file
from cellmap_migrations.run import guard, run_selected

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from oslo_config import cfg

    from cellmap_migrations import Cell
    from cellmap_migrations.cli.common import Query, Result
    from cellmap_migrations.common.stopping import Stopping
    from cellmap_migrations.config.settings import Settings
    from cellmap_migrations.databases.database import Database


def prometheus() -> Any:
    """Return the module ``cli.prometheus``; raise NoPrometheus without its library."""
    try:
        return importlib.import_module("cellmap_migrations.cli.prometheus")
    except ModuleNotFoundError as error:
        raise NoPrometheus(missing=error.name or "prometheus_client") from error


def show(conf: cfg.ConfigOpts, query: Query) -> int:
    """Write the metrics of the result of *query*, and return the exit code."""

    def write_status(settings: Settings, api: Database, stopping: Stopping) -> Result:
        of_status = prometheus().of_status
        write(conf, of_status(query(settings, api, stopping)))
        return {}

    return common.show(conf, write_status, lambda _: ())


def run(conf: cfg.ConfigOpts, work: Callable[[Cell], None]) -> int:
    """Compare each cell with *work*, write metrics, and return the exit code.

    Nothing is written if the run ends before its last cell.
    """

    def load() -> Settings:
        # Before comparisons that may take an hour.
        prometheus()
        return common.load(conf, conf.command.cell, read_only=True)

    def write_check(_: Stopping) -> None:
        write(conf, prometheus().of_check(reports))

    reports, error = run_selected(load, work)
    if not error and not any(isinstance(each.error, Stopped) for each in reports):
        error = guard(write_check)
    return report.emit(
        reports, as_json=False, together=True, error=error, text=lambda _: ()
    )


def write(conf: cfg.ConfigOpts, families: Sequence[Any]) -> None:
    """Write the metrics to the file of ``-o``, or to stdout without one.

    Raises BadOption or OutputLost.
    """
    text: bytes = prometheus().exposition(families)
    if conf.command.metrics_file is not None:
        replace_file(conf.command.metrics_file, text)
        return
    for line in text.decode().splitlines():
        report.write(line)
