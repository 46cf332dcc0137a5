"""Run a command on the cells that it names, and end with an exit code."""

from __future__ import annotations

import logging
import traceback
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

from cellmap_migrations.bookkeeping import versions
from cellmap_migrations.cell.cell import Cell, make_cell
from cellmap_migrations.common import background, secrets
from cellmap_migrations.common.errors import CellmapError, Stopped, UnknownCell
from cellmap_migrations.common.stderr import say
from cellmap_migrations.common.stopping import Interrupted, Stopping
from cellmap_migrations.databases import connect, urls
from cellmap_migrations.databases.base import DATABASE_ERRORS
from cellmap_migrations.databases.database import understand
from cellmap_migrations.nova.cells import ALL, find, read
from cellmap_migrations.nova.identities import Identities
from cellmap_migrations.output.report import Report, emit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cellmap_migrations.config.settings import Settings
    from cellmap_migrations.databases.database import Database
    from cellmap_migrations.nova.cells import CellMapping

    Load = Callable[[], Settings]

    Work = Callable[[Cell], None]


def as_error(failure: Exception, database: Database) -> CellmapError:
    """Return *failure*, of *database* or any other, in an operator's terms."""
    if isinstance(failure, DATABASE_ERRORS):
        failure = understand(failure, database)
    return explain(failure, database.stopping)


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


# Seconds for a look at the API database after an error: less than a signal gives to the
# batch in hand, and after a signal less than it leaves until the process has to end.
MOMENT, HASTE = 0.6, 0.1


def attempt(cell: Cell, work: Callable[[Cell], None]) -> CellmapError | None:
    """Do *work*, and return how it failed, in an operator's terms."""
    try:
        with looked_up(cell):
            work(cell)
    except Exception as failure:  # noqa: BLE001 - as in guard()
        return as_error(failure, cell.api)
    finally:
        cell.closing.close()
    return None


@contextmanager
def looked_up(cell: Cell) -> Iterator[None]:
    """Note in the report which revision is recorded after the block.

    After an error that is left out where the answer does not come at once.
    """
    api, uuid = cell.api, cell.mapping.uuid
    try:
        yield
    except BaseException:
        look = partial(versions.recorded_now, api, uuid)
        seconds = HASTE if cell.stopping.signal else MOMENT
        # Whatever the API database says now, it is not why the run ended.
        with suppress(Exception):
            cell.report.revision = background.soon(look, seconds)
        raise
    cell.report.revision = versions.recorded(api, uuid)


def run_cells(load: Load, work: Work, *, cell: str | None, as_json: bool) -> int:
    """Do *work* for each cell that *cell* names, and print the result.

    *load* reads the settings; its errors are reported like those of the work. Returns
    the exit code, which is the gravest one of the cells.
    """
    if cell == ALL:
        reports, error = collect(load, work)
        return emit(reports, as_json=as_json, together=True, error=error)
    return emit([run_one(load, work, cell=cell)], as_json=as_json, together=False)


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


def run_one(
    load: Load, work: Work, *, cell: str | None, stopping: Stopping | None = None
) -> Report:
    """Do *work* for the one cell that *cell* names, and return how it ended."""
    reports, error = collect(load, work, stopping)
    [report] = reports or [Report(cell=secrets.shown(cell) if cell else None)]
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
        return explain(error, stopping)
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
        cells = read(api)
        chosen = find_cells(cells, config)
        identities = Identities(
            api=api, cells=cells, settings=config, stopping=stopping
        )
        if not chosen and config.cell != ALL:
            reports.append(Report(cell=secrets.shown(config.cell)))
        for mapping in chosen:
            cell = make_cell(mapping, identities)
            reports.append(cell.report)
            cell.report.end(attempt(cell, work))
            if isinstance(cell.report.error, Stopped):
                return


def find_cells(cells: Sequence[CellMapping], config: Settings) -> Sequence[CellMapping]:
    """Return the cells that *config* names; none where a missing one may be skipped.

    Raises the errors of ``nova.cells.find``.
    """
    try:
        return find(cells, config)
    except UnknownCell as error:
        if config.missing != "skip":
            raise
        say(f"nothing to do: {error}")
        return ()


@contextmanager
def opened_api(config: Settings, stopping: Stopping) -> Iterator[Database]:
    """Yield nova's API database, and close it."""
    what = "[api_database] connection"
    urls.learn(config.base_connection)
    url, warning = urls.parse(config.api_connection, what)
    if warning:
        say(f"warning: {what}: {warning}")
    api = connect.connect(
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
