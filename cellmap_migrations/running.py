"""Run a command on the cells that it names, and end it with an exit code."""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING

from cellmap_migrations import connecting, databases, directory, secrets, urls
from cellmap_migrations.backends import DATABASE_ERRORS
from cellmap_migrations.bookkeeping import version
from cellmap_migrations.cell import Cell
from cellmap_migrations.errors import CellmapError, Stopped, UnknownCell
from cellmap_migrations.progress import say
from cellmap_migrations.reporting import Report, emit, worst
from cellmap_migrations.stopping import Interrupted, Stopping

if TYPE_CHECKING:
    from collections.abc import Callable

    from cellmap_migrations.databases import Database
    from cellmap_migrations.settings import Settings

    Work = Callable[[Cell], None]


def run(
    load: Callable[[], Settings], work: Work, *, cell: str | None, as_json: bool
) -> int:
    """Do *work* for each cell that *cell* names, and print the result.

    *load* reads the settings; its errors are reported like those of the work. Returns
    the exit code, which is the gravest one of the cells.
    """
    quieten()
    stopping = Stopping()
    reports: list[Report] = []
    try:
        with stopping.listening():
            each(load(), work, stopping, reports)
    except Interrupted:
        if not reports:
            reports.append(Report(cell=secrets.mask(cell) if cell else None))
        reports[-1].end(stopping.stopped())
    # An operator gets a line and an exit code also for what nobody thought of.
    except Exception as error:  # noqa: BLE001
        reports.append(Report(cell=secrets.mask(cell) if cell else None))
        reports[-1].end(explain(error, stopping))
    emit(reports, as_json=as_json, together=cell == directory.ALL)
    return worst(reports)


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
    api = open_api(config, stopping)
    try:
        cells = directory.read(api)
        try:
            chosen = directory.find(cells, config)
        except UnknownCell as error:
            if config.missing != "skip":
                raise
            say(f"nothing to do: {error}")
            reports.append(Report(cell=config.cell))
            return
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
            )
            report.end(attempt(cell, work))
            if isinstance(report.error, Stopped):
                return
    finally:
        api.engine.dispose()


def open_api(config: Settings, stopping: Stopping) -> Database:
    """Return nova's API database."""
    what = "[api_database] connection"
    url, warning = urls.parse(config.api_connection, what)
    if warning:
        say(f"warning: {what}: {warning}")
    return connecting.connect(
        url,
        what="API database",
        settings=config,
        stopping=stopping,
        parameters=config.api_parameters,
    )


def attempt(cell: Cell, work: Work) -> CellmapError | None:
    """Do *work*, and return how it failed, in an operator's terms."""
    error: CellmapError | None = None
    try:
        work(cell)
        cell.report.revision = ", ".join(version.stamped(cell.api, cell.mapping.uuid))
    except DATABASE_ERRORS as failure:
        refused = databases.understand(failure, cell.api.what, cell.api.backend)
        error = explain(refused, cell.stopping)
    except Exception as failure:  # noqa: BLE001
        error = explain(failure, cell.stopping)
    finally:
        cell.close()
    return error


def explain(failure: Exception, stopping: Stopping) -> CellmapError:
    """Return *failure* as it is, or print the traceback of what nobody foresaw.

    That is a fault of this package; it must not show a password. After a signal it
    is only what a driver makes of a connection that was left in the middle.
    """
    if stopping.signal:
        return stopping.stopped()
    if isinstance(failure, CellmapError):
        return failure
    for line in traceback.format_exception(failure):
        for part in line.splitlines():
            say(secrets.mask_line(part))
    return CellmapError(f"internal error, please report it: {secrets.mask(failure)}")
