"""Open a database within ``connect_timeout``; ignore max_retries in nova.conf."""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa
import tenacity

from cellmap_migrations.common import secrets
from cellmap_migrations.common.errors import Unreachable, UrlUnusable
from cellmap_migrations.common.sentences import ServerTooOld
from cellmap_migrations.databases import codes, dialects, urls
from cellmap_migrations.databases.database import Database, as_cellmap_error, message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cellmap_migrations.common.stopping import Stopping
    from cellmap_migrations.config.settings import Settings
    from cellmap_migrations.databases.base import Backend


@contextmanager
def url_errors(
    what: str,
    backend: Backend,
    url: sa.URL,
    but: tuple[type[Exception], ...] = (),
) -> Iterator[None]:
    """Raise UrlUnusable for every error of the block, except the classes in *but*.

    A driver checks the arguments of a URL, and the files that they name, when it
    connects. It may raise any exception of Python.
    """
    try:
        yield
    except but:
        raise
    except Exception as error:  # noqa: BLE001 - the block calls only a driver
        why = secrets.mask(backend.explain(error, url) or "") or describe(error)
        raise UrlUnusable(what, f"its URL cannot be used: {why}") from None


def describe(error: Exception) -> str:
    """Return class and message of *error*, without a quoted line of a file."""
    first, *_ = str(getattr(error, "reason", None) or error).splitlines() or [""]
    return f"{type(error).__name__}: {secrets.without_value(first)}"


@contextmanager
def connecting_within(database: Database, seconds: float) -> Iterator[None]:
    """End each attempt to connect in the block when *seconds* have passed.

    A proxy without its database accepts a connection, and then never answers. The block
    ends by closing each connection with a shorter timeout than the URL's, because some
    drivers apply the timeout to statements too.
    """
    deadline = time.monotonic() + seconds
    shortened: list[str] = []

    def connect(
        dialect: sa.Dialect, _: Any, arguments: Any, parameters: dict[str, Any]
    ) -> Any:
        left = max(1, math.ceil(deadline - time.monotonic()))
        hurry = {
            # 0 means no timeout. The driver refuses a value that is not a number.
            name: min(int(parameters[name]) or left, left)
            for name in database.backend.timeouts
            if str(parameters[name]).isdigit()
        }
        shortened.extend(name for name in hurry if hurry[name] != int(parameters[name]))
        url = database.engine.url
        with url_errors(database.what, database.backend, url, but=database.errors):
            return patiently(dialect, _, arguments, {**parameters, **hurry})

    patiently = database.backend.connect
    replace_listener(database.engine, patiently, connect)
    try:
        yield
    finally:
        replace_listener(database.engine, connect, patiently)
        if shortened:
            database.engine.dispose()


def replace_listener(
    engine: sa.Engine, old: Callable[..., Any], new: Callable[..., Any]
) -> None:
    """Let *new* make the connections of *engine*. SQLAlchemy calls one listener."""
    sa.event.remove(engine, "do_connect", old)
    sa.event.listen(engine, "do_connect", new)


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
    """Return an open database; retry for ``connect_timeout`` seconds.

    Raises UrlUnusable, Unreachable, or the errors of ``as_cellmap_error``.
    """
    database = make_database(
        url,
        what=what,
        settings=settings,
        stopping=stopping,
        parameters=parameters,
        read_only=read_only,
    )
    wait_for_answer(database, settings.connect_timeout)
    return database


def make_database(
    url: sa.URL,
    *,
    what: str,
    settings: Settings,
    stopping: Stopping,
    parameters: str,
    read_only: bool,
) -> Database:
    """Return a database without connecting to it; raise UrlUnusable."""
    backend = dialects.of(url)
    what = f"{what} ({urls.show(url)})"
    with url_errors(what, backend, url):
        engine = backend.engine(url, parameters=parameters, read_only=read_only)
    refuse_old(engine, backend, what)
    sa.event.listen(engine, "do_connect", backend.connect)
    return Database(
        what=what,
        engine=engine,
        backend=backend,
        attempts=settings.attempts,
        stopping=stopping,
    )


def refuse_old(engine: sa.Engine, backend: Backend, what: str) -> None:
    """Let the first connection of *engine* raise ServerTooOld for an old server."""

    def connected(_: Any, entry: sa.pool.ConnectionPoolEntry) -> None:
        name, version = backend.server(entry)
        oldest = backend.oldest.get(name, ())
        if version and version < oldest:
            found, least = (".".join(map(str, each)) for each in (version, oldest))
            raise ServerTooOld(what=what, found=f"{name} {found}", oldest=least)

    sa.event.listen(engine, "first_connect", connected)


def wait_for_answer(database: Database, seconds: float) -> None:
    """Return as soon as *database* answers.

    Raises Unreachable after *seconds*, or at once an error that another attempt cannot
    correct.
    """

    def is_worth_retrying(error: BaseException) -> bool:
        return isinstance(error, database.errors) and database.backend.fault(error) in (
            codes.Fault.TRANSIENT,
            codes.Fault.OTHER,
        )

    def touch() -> None:
        # A pooler in statement mode accepts a connection, but no transaction.
        with database.reading(status=True) as connection, connection.begin():
            pass

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(is_worth_retrying),
        stop=tenacity.stop_before_delay(seconds),
        wait=tenacity.wait_random_exponential(multiplier=0.2, max=5),
        sleep=database.stopping.wait,
    )
    try:
        with connecting_within(database, seconds):
            retrying(touch)
    except tenacity.RetryError as error:
        cause = error.last_attempt.exception()
        raise Unreachable(database.what, seconds, message(cause)) from None
    except database.errors as error:
        raise as_cellmap_error(error, database) from error


def ask_once(database: Database, question: Callable[[], T], seconds: float) -> T:
    """Return the result of *question*, which reads *database*; do not retry.

    Connecting may take *seconds*; on MariaDB and MySQL each answer may take as long.
    Raises Unreachable for a transient error, or the errors of ``as_cellmap_error``.
    """
    try:
        with connecting_within(database, seconds):
            return question()
    except database.errors as error:
        if database.is_transient(error):
            raise Unreachable(database.what, seconds, message(error)) from error
        raise as_cellmap_error(error, database) from error
