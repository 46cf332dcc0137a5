"""Run a command on the cells that it names, and end it with an exit code."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cellmap_migrations import connecting, directory, failures, secrets, urls
from cellmap_migrations.cell import Cell
from cellmap_migrations.errors import CellmapError, Stopped, UnknownCell
from cellmap_migrations.identities import Identities
from cellmap_migrations.one_cell import attempt
from cellmap_migrations.printing import emit
from cellmap_migrations.progress import say
from cellmap_migrations.reporting import Report
from cellmap_migrations.stopping import Interrupted, Stopping

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cellmap_migrations.databases import Database
    from cellmap_migrations.directory import CellMapping
    from cellmap_migrations.settings import Settings

    Load = Callable[[], Settings]
    Work = Callable[[Cell], None]


def run(load: Load, work: Work, *, cell: str | None, as_json: bool) -> int:
    """Do *work* for each cell that *cell* names, and print the result.

    *load* reads the settings; its errors are reported like those of the work. Returns
    the exit code, which is the gravest one of the cells.
    """
    if cell == directory.ALL:
        reports, error = collect(load, work)
        return emit(reports, as_json=as_json, together=True, error=error)
    return emit([alone(load, work, cell=cell)], as_json=as_json, together=False)


def collect(
    load: Load, work: Work, stopping: Stopping | None = None
) -> tuple[list[Report], CellmapError | None]:
    """Do *work* for each cell that the settings name, and return how each one ended.

    And what ended the run where no cell was at work, if anything did.
    """
    reports: list[Report] = []
    error = guard(lambda known: each(load(), work, known, reports), stopping)
    if error and reports and not reports[-1].ended:
        reports[-1].end(error)
        error = None
    return reports, error


def alone(
    load: Load, work: Work, *, cell: str | None, stopping: Stopping | None = None
) -> Report:
    """Do *work* for the one cell that *cell* names, and return how it ended."""
    reports, error = collect(load, work, stopping)
    [report] = reports or [Report(cell=secrets.mask_given(cell) if cell else None)]
    if error and not report.error:
        report.end(error)
    return report


def guard(
    work: Callable[[Stopping], None], stopping: Stopping | None = None
) -> CellmapError | None:
    """Do *work* until a signal, or *stopping*, ends it; return how it failed."""
    quieten()
    stopping = stopping or Stopping()
    try:
        with stopping.listening():
            work(stopping)
    except Interrupted:
        return stopping.stopped()
    # An operator gets a line and an exit code also for what nobody thought of.
    except Exception as error:  # noqa: BLE001
        return failures.explain(error, stopping)
    return None


def quieten() -> None:
    """Keep libraries from printing tracebacks through Python's last-resort handler."""
    for name in ("oslo_db", "oslo_config", "sqlalchemy", "alembic"):
        logging.getLogger(name).addHandler(logging.NullHandler())


def each(
    config: Settings, work: Work, stopping: Stopping, reports: list[Report]
) -> None:
    """Do *work* for one cell after another; one that fails does not stop the rest."""
    if config.time_limit is not None:
        stopping.limit(config.time_limit)
    with opened_api(config, stopping) as api:
        cells = directory.read(api)
        chosen = find(cells, config)
        identities = Identities(
            api=api, cells=cells, settings=config, stopping=stopping
        )
        if not chosen and config.cell != directory.ALL:
            reports.append(Report(cell=config.cell))
        for mapping in chosen:
            report = Report(cell=mapping.uuid, name=mapping.name)
            reports.append(report)
            cell = Cell(
                mapping,
                api=api,
                cells=cells,
                settings=config,
                stopping=stopping,
                report=report,
                identities=identities,
            )
            report.end(attempt(cell, work))
            if isinstance(report.error, Stopped):
                return


def find(cells: Sequence[CellMapping], config: Settings) -> Sequence[CellMapping]:
    """Return the cells that *config* names; none where a missing one may be skipped.

    Raises what directory.find raises.
    """
    try:
        return directory.find(cells, config)
    except UnknownCell as error:
        if config.missing != "skip":
            raise
        say(f"nothing to do: {error}")
        return ()


@contextmanager
def opened_api(config: Settings, stopping: Stopping) -> Iterator[Database]:
    """Yield nova's API database, and close it."""
    what = "[api_database] connection"
    url, warning = urls.parse(config.api_connection, what)
    if warning:
        say(f"warning: {what}: {warning}")
    api = connecting.connect(
        url,
        what="API database",
        settings=config,
        stopping=stopping,
        parameters=config.api_parameters,
        read_only=config.read_only,
    )
    try:
        yield api
    finally:
        api.close()
