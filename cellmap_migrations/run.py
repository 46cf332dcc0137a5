"""Do the work of a command for its cells, from the settings to the exit code.

Read the settings, open the API database and find the cells. Make a Cell of each and
pass it to the work. Turn an exception of the work into a report and an exit code.
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
from cellmap_migrations.databases.database import as_cellmap_error
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


# Seconds to read the recorded revision after an error. The process has to end sooner
# after a signal.
SECONDS_AFTER_ERROR, SECONDS_AFTER_SIGNAL = 0.6, 0.1


def run_cells(load: Load, work: Work, *, selector: str | None, as_json: bool) -> int:
    """Do *work* for each cell that *selector* names, and print the result.

    *load* reads the settings. Its errors are reported like those of the work. Returns
    the exit code, which is the gravest one of the cells.
    """
    if selector != ALL:
        report = run_one(load, work, selector=selector)
        return emit([report], as_json=as_json, together=False)
    reports, error = run_selected(load, work)
    return emit(reports, as_json=as_json, together=True, error=error)


def run_one(
    load: Load,
    work: Work,
    *,
    selector: str | None,
    stopping: Stopping | None = None,
    known: Known | None = None,
) -> Report:
    """Do *work* for the one cell that *selector* names; return its report.

    Databases whose identities are *known* are not asked for them again.
    """
    reports, error = run_selected(load, work, stopping, known)
    shown = secrets.shown(selector) if selector else None
    [report] = reports or [Report(cell=shown)]
    if error and not report.error:
        report.end(error)
    return report


def run_selected(
    load: Load, work: Work, stopping: Stopping | None = None, known: Known | None = None
) -> tuple[list[Report], CellmapError | None]:
    """Do *work* for each cell that the settings name, and return a report of each.

    A cell that fails does not stop the next one. Also returns the error that ended the
    run while it worked on no cell, or None.
    """
    reports: list[Report] = []

    def each_cell(stopping: Stopping) -> None:
        settings = load()
        if settings.time_limit is not None:
            stopping.limit(settings.time_limit)
        with opened_api(settings, stopping) as api:
            mappings = read(api)
            selected = find_cells(mappings, settings)
            if not selected and settings.selector != ALL:
                reports.append(Report(cell=secrets.shown(settings.selector)))
            identities = Identities(
                api=api,
                mappings=mappings,
                settings=settings,
                stopping=stopping,
                known=known,
            )
            for mapping in selected:
                cell = make_cell(mapping, identities)
                reports.append(cell.report)
                work_on(cell, work)
                if isinstance(cell.report.error, Stopped):
                    return

    error = guard(each_cell, stopping)
    if error and reports:
        last = reports[-1]
        # A signal may also interrupt report.end() or the closing of connections.
        if not last.ended or isinstance(last.error, Stopped):
            last.end(error)
            error = None
    return reports, error


@contextmanager
def opened_api(settings: Settings, stopping: Stopping) -> Iterator[Database]:
    """Yield nova's API database, and close it."""
    what = "[api_database] connection"
    urls.remember_passwords(settings.base_connection)
    url, warning = urls.parse(settings.api_connection, what)
    if warning:
        say(f"warning: {what}: {warning}")
    api = connect.connect(
        url,
        what="API database",
        settings=settings,
        stopping=stopping,
        parameters=settings.api_parameters,
        read_only=settings.read_only,
    )
    try:
        yield api
    finally:
        api.close()


def find_cells(
    mappings: Sequence[CellMapping], settings: Settings
) -> Sequence[CellMapping]:
    """Return the cells that *settings* name; none if a missing one may be skipped.

    Raises the errors of ``nova.cells.find``.
    """
    try:
        return find(mappings, settings)
    except UnknownCell as error:
        if settings.missing != "skip":
            raise
        say(f"nothing to do: {error}")
        return ()


def work_on(cell: Cell, work: Work) -> None:
    """Do *work* for *cell*; end its report with the error and the revision."""
    error = None
    with cell.closing:
        try:
            work(cell)
            revision = versions.current_revision(cell.api, cell.mapping.uuid)
        except (Exception, Interrupted) as failure:  # noqa: BLE001 - as in guard()
            revision = read_revision(cell)
            error = as_error(failure, cell.stopping, cell.api)
        cell.report.end(error, revision)


def read_revision(cell: Cell) -> str | None:
    """Return the recorded revision, or None if it cannot be read at once."""
    seconds = SECONDS_AFTER_SIGNAL if cell.stopping.signal else SECONDS_AFTER_ERROR
    read = partial(versions.current_heads_once, cell.api, cell.mapping.uuid)
    # The report already has the error that ended the run.
    with suppress(Exception):
        return next(iter(background.result_within(read, seconds)), None)
    return None


def guard(
    work: Callable[[Stopping], None], stopping: Stopping | None = None
) -> CellmapError | None:
    """Do *work* until a signal or *stopping* ends it; return its error or None."""
    # Without a handler, Python would print the tracebacks that libraries log.
    for name in ("oslo_db", "oslo_config", "sqlalchemy", "alembic"):
        logging.getLogger(name).addHandler(logging.NullHandler())
    stopping = stopping or Stopping()
    try:
        with stopping.listening():
            work(stopping)
    # An operator gets a line and an exit code for a bug of this package, too.
    except (Exception, Interrupted) as failure:  # noqa: BLE001
        return as_error(failure, stopping)
    return None


def as_error(
    failure: BaseException, stopping: Stopping, database: Database | None = None
) -> CellmapError:
    """Return *failure*, which *database* may have raised, as an error with a code.

    After a signal returns Stopped, because an interrupted driver may raise anything.
    Otherwise prints the masked traceback of an unknown error: it is a bug.
    """
    if database and isinstance(failure, DATABASE_ERRORS):
        failure = as_cellmap_error(failure, database)
    if stopping.signal:
        return stopping.stopped()
    if isinstance(failure, CellmapError):
        return failure
    for line in traceback.format_exception(failure):
        for part in line.splitlines():
            say(secrets.mask_line(part))
    return CellmapError(f"internal error, please report it: {secrets.mask(failure)}")
