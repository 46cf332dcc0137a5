"""Do the work of a command for its cells, from the settings to the exit code.

Read the settings, open the API database, find the cells, make a Cell of each and hand
it to the work. Turn the exception that ends the work into a report and an exit code.
"""

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
    from cellmap_migrations.nova.identities import Known

    Load = Callable[[], Settings]

    Work = Callable[[Cell], None]


# Seconds to read the recorded revision after an error: less than a signal gives to the
# batch in hand, and after a signal less than it leaves until the process has to end.
MOMENT, HASTE = 0.6, 0.1


def run_cells(load: Load, work: Work, *, cell: str | None, as_json: bool) -> int:
    """Do *work* for each cell that *cell* names, and print the result.

    *load* reads the settings; its errors are reported like those of the work. Returns
    the exit code, which is the gravest one of the cells.
    """
    if cell != ALL:
        return emit([run_one(load, work, cell=cell)], as_json=as_json, together=False)
    reports, error = collect(load, work)
    return emit(reports, as_json=as_json, together=True, error=error)


def run_one(
    load: Load,
    work: Work,
    *,
    cell: str | None,
    stopping: Stopping | None = None,
    known: Known | None = None,
) -> Report:
    """Do *work* for the one cell that *cell* names, and return its report.

    The databases whose identities are *known* are not asked for them again.
    """
    reports, error = collect(load, work, stopping, known)
    [report] = reports or [Report(cell=secrets.shown(cell) if cell else None)]
    if error and not report.error:
        report.end(error)
    return report


def collect(
    load: Load, work: Work, stopping: Stopping | None = None, known: Known | None = None
) -> tuple[list[Report], CellmapError | None]:
    """Do *work* for each cell that the settings name, and return a report of each.

    A cell that fails does not stop the next one. Also returns the error that ended the
    run while no cell was at work, or None.
    """
    reports: list[Report] = []

    def each_cell(stopping: Stopping) -> None:
        config = load()
        if config.time_limit is not None:
            stopping.limit(config.time_limit)
        with opened_api(config, stopping) as api:
            cells = read(api)
            chosen = find_cells(cells, config)
            if not chosen and config.cell != ALL:
                reports.append(Report(cell=secrets.shown(config.cell)))
            identities = Identities(
                api=api, cells=cells, settings=config, stopping=stopping, known=known
            )
            for mapping in chosen:
                cell = make_cell(mapping, identities)
                reports.append(cell.report)
                do(work, cell)
                if isinstance(cell.report.error, Stopped):
                    return

    error = guard(each_cell, stopping)
    if error and reports:
        last = reports[-1]
        # A signal may interrupt the end of a cell, or close what that left open.
        if not last.ended or isinstance(last.error, Stopped):
            last.end(error)
            error = None
    return reports, error


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


def find_cells(cells: Sequence[CellMapping], config: Settings) -> Sequence[CellMapping]:
    """Return the cells that *config* names; none if a missing one may be skipped.

    Raises the errors of ``nova.cells.find``.
    """
    try:
        return find(cells, config)
    except UnknownCell as error:
        if config.missing != "skip":
            raise
        say(f"nothing to do: {error}")
        return ()


def do(work: Work, cell: Cell) -> None:
    """Do *work* for *cell*, and end its report with the error and the revision."""
    error = None
    with cell.closing:
        try:
            work(cell)
            revision = versions.recorded(cell.api, cell.mapping.uuid)
        except (Exception, Interrupted) as failure:  # noqa: BLE001 - as in guard()
            revision = recorded_soon(cell)
            error = as_error(failure, cell.stopping, cell.api)
        cell.report.end(error, revision)


def recorded_soon(cell: Cell) -> str | None:
    """Return the recorded revision, or None if it cannot be read at once."""
    look = partial(versions.recorded_now, cell.api, cell.mapping.uuid)
    # The run has ended for another reason, and that is reported.
    with suppress(Exception):
        return background.soon(look, HASTE if cell.stopping.signal else MOMENT)
    return None


def guard(
    work: Callable[[Stopping], None], stopping: Stopping | None = None
) -> CellmapError | None:
    """Do *work* until a signal or *stopping* ends it, and return its error or None."""
    # Otherwise Python's handler of last resort prints the tracebacks of libraries.
    for name in ("oslo_db", "oslo_config", "sqlalchemy", "alembic"):
        logging.getLogger(name).addHandler(logging.NullHandler())
    stopping = stopping or Stopping()
    try:
        with stopping.listening():
            work(stopping)
    # An operator gets a line and an exit code also for a fault of this package.
    except (Exception, Interrupted) as failure:  # noqa: BLE001
        return as_error(failure, stopping)
    return None


def as_error(
    failure: BaseException, stopping: Stopping, database: Database | None = None
) -> CellmapError:
    """Return *failure*, maybe one of *database*, as an error with an exit code.

    Prints the masked traceback of an unknown one: it is a fault of this package. After
    a signal it is none: drivers raise anything when they are interrupted.
    """
    if database and isinstance(failure, DATABASE_ERRORS):
        failure = understand(failure, database)
    if stopping.signal:
        return stopping.stopped()
    if isinstance(failure, CellmapError):
        return failure
    for line in traceback.format_exception(failure):
        for part in line.splitlines():
            say(secrets.mask_line(part))
    return CellmapError(f"internal error, please report it: {secrets.mask(failure)}")
