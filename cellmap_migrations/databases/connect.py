"""Open a database within ``connect_timeout``, whatever nova.conf says about retries."""

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
from cellmap_migrations.databases.database import Database, message, understand

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cellmap_migrations.common.stopping import Stopping
    from cellmap_migrations.config.settings import Settings
    from cellmap_migrations.databases.base import Backend


@contextmanager
def refusing(
    what: str,
    backend: Backend,
    url: sa.URL,
    but: tuple[type[Exception], ...] = (),
) -> Iterator[None]:
    """Raise UrlUnusable for any error of the block, except those of *but*.

    A driver checks the arguments of a URL, and the files that they name, only when it
    connects, and may then raise any of Python's exceptions.
    """
    try:
        yield
    except but:
        raise
    except Exception as error:  # noqa: BLE001 - only a driver is at work here
        why = secrets.mask(backend.explain(error, url) or "") or reason(error)
        raise UrlUnusable(what, f"its URL cannot be used: {why}") from None


def reason(error: Exception) -> str:
    """Return what *error* says, without the line of a file that it may show."""
    first, *_ = str(getattr(error, "reason", None) or error).splitlines() or [""]
    return f"{type(error).__name__}: {secrets.without_value(first)}"


@contextmanager
def hurried(database: Database, seconds: float) -> Iterator[None]:
    """Let no attempt to connect last longer than what is left of *seconds*.

    A proxy whose database is gone accepts, and then says nothing. Connections with such
    a timeout go with the block, since it is for connecting and not for work.
    """
    deadline = time.monotonic() + seconds
    shortened: list[str] = []

    def connect(
        dialect: sa.Dialect, _: Any, arguments: Any, parameters: dict[str, Any]
    ) -> Any:
        left = max(1, math.ceil(deadline - time.monotonic()))
        hurry = {
            # 0 stands for ever; what is no number is for the driver to refuse.
            name: min(int(parameters[name]) or left, left)
            for name in database.backend.timeouts
            if str(parameters[name]).isdigit()
        }
        shortened.extend(name for name in hurry if hurry[name] != int(parameters[name]))
        url = database.engine.url
        with refusing(database.what, database.backend, url, but=database.errors):
            return dialect.connect(*arguments, **{**parameters, **hurry})

    sa.event.listen(database.engine, "do_connect", connect)
    try:
        yield
    finally:
        sa.event.remove(database.engine, "do_connect", connect)
        if shortened:
            database.engine.dispose()


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
    backend = dialects.of(url)
    what = f"{what} ({urls.show(url)})"
    with refusing(what, backend, url):
        engine = backend.engine(url, parameters=parameters, read_only=read_only)
    refuse_old(engine, backend, what)
    return Database(
        what=what,
        engine=engine,
        backend=backend,
        attempts=settings.attempts,
        stopping=stopping,
    )


def refuse_old(engine: sa.Engine, backend: Backend, what: str) -> None:
    """Raise ServerTooOld on the first connection of *engine* to a server too old."""

    def connected(driver: Any, _: Any) -> None:
        name, version = backend.server(driver)
        oldest = backend.oldest.get(name, ())
        if version and version < oldest:
            found, least = (".".join(map(str, each)) for each in (version, oldest))
            raise ServerTooOld(what=what, found=f"{name} {found}", oldest=least)

    sa.event.listen(engine, "first_connect", connected)


def try_for(database: Database, seconds: float) -> None:
    """Return as soon as *database* answers.

    Raises Unreachable when the *seconds* are over, or what another attempt cannot
    mend.
    """

    def may_pass(error: BaseException) -> bool:
        return isinstance(error, database.errors) and database.backend.fault(error) in (
            codes.Fault.AGAIN,
            codes.Fault.OTHER,
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
