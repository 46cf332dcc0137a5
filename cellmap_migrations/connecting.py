"""Open a database within a bounded time, whatever nova.conf says about retries."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import tenacity

from cellmap_migrations import backends, directory, urls
from cellmap_migrations.attempts import hurried, refusing
from cellmap_migrations.databases import Database
from cellmap_migrations.driver_errors import message, understand
from cellmap_migrations.errors import Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable

    import sqlalchemy as sa

    from cellmap_migrations.directory import CellMapping
    from cellmap_migrations.settings import Settings
    from cellmap_migrations.stopping import Stopping

T = TypeVar("T")


def connect(
    url: sa.URL,
    *,
    what: str,
    settings: Settings,
    stopping: Stopping,
    parameters: str = "",
    read_only: bool = False,
) -> Database:
    """Return an open database, tried for ``connect_timeout`` seconds.

    nova.conf's ``max_retries`` counts for nothing here: most deployments set it to
    -1, which is for ever. Raises Unreachable, PrivilegeMissing or DatabaseMissing.
    """
    database = unopened(
        url,
        what=what,
        settings=settings,
        stopping=stopping,
        parameters=parameters,
        read_only=read_only,
    )
    try_for(database, settings.connect_timeout)
    return database


def unopened(
    url: sa.URL,
    *,
    what: str,
    settings: Settings,
    stopping: Stopping,
    parameters: str,
    read_only: bool,
) -> Database:
    """Return a database to which nobody has connected yet; raise UrlUnusable."""
    backend = backends.of(url)
    what = f"{what} ({urls.show(url)})"
    with refusing(what, backend, url):
        engine = backend.engine(url, parameters=parameters, read_only=read_only)
    return Database(
        what=what,
        engine=engine,
        backend=backend,
        attempts=settings.attempts,
        stopping=stopping,
    )


def unopened_cell(
    cell: CellMapping, settings: Settings, stopping: Stopping
) -> Database:
    """Return the cell's database as ``unopened`` does; raise CellUrlUnusable too."""
    url, _ = directory.resolve(cell, settings)
    return unopened(
        url,
        what=f"cell {cell}",
        settings=settings,
        stopping=stopping,
        parameters=settings.base_parameters,
        read_only=True,
    )


def connect_cell(
    cell: CellMapping,
    settings: Settings,
    stopping: Stopping,
    patience: float | None = None,
) -> Database:
    """Return the cell's database, opened read-only as ``connect`` does it.

    Tried for *patience* seconds if that is given. Raises CellUrlUnusable as well.
    """
    database = unopened_cell(cell, settings, stopping)
    patience = settings.connect_timeout if patience is None else patience
    try_for(database, patience)
    return database


def try_for(database: Database, seconds: float) -> None:
    """Return as soon as *database* answers.

    Raises Unreachable when the *seconds* are over, or what another attempt cannot
    mend.
    """

    def may_pass(error: BaseException) -> bool:
        return isinstance(error, database.errors) and database.backend.fault(error) in (
            backends.Fault.AGAIN,
            backends.Fault.OTHER,
        )

    def touch() -> None:
        # A pooler in statement mode connects, and refuses every transaction.
        with database.reading(status=True) as connection, connection.begin():
            pass

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(may_pass),
        stop=tenacity.stop_before_delay(seconds),
        wait=tenacity.wait_random_exponential(multiplier=0.2, max=5),
        sleep=database.stopping.wait,
    )
    try:
        with hurried(database, seconds):
            retrying(touch)
    except tenacity.RetryError as error:
        cause = error.last_attempt.exception()
        raise Unreachable(database.what, seconds, message(cause)) from None
    except database.errors as error:
        raise understand(error, database) from error


def ask(database: Database, question: Callable[[], T], seconds: float) -> T:
    """Return what *question* returns, which is asked once and over one connection.

    It may take *seconds* to connect, and so many for each answer. Raises Unreachable
    for what may pass, or what ``understand`` makes of an error that does not.
    """
    try:
        with hurried(database, seconds):
            return question()
    except database.errors as error:
        if database.may_pass(error):
            raise Unreachable(database.what, seconds, message(error)) from error
        raise understand(error, database) from error
