"""Open a database within a bounded time, whatever nova.conf says about retries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tenacity

from cellmap_migrations import backends, urls
from cellmap_migrations.databases import Database, message, understand
from cellmap_migrations.errors import Unreachable

if TYPE_CHECKING:
    import sqlalchemy as sa

    from cellmap_migrations.settings import Settings
    from cellmap_migrations.stopping import Stopping


def connect(
    url: sa.URL,
    *,
    what: str,
    settings: Settings,
    stopping: Stopping,
    parameters: str = "",
    read_only: bool = False,
    patience: float | None = None,
) -> Database:
    """Return an open database, tried for ``connect_timeout`` (or *patience*) seconds.

    nova.conf's ``max_retries`` counts for nothing here: most deployments set it to
    -1, which is for ever. Raises Unreachable, PrivilegeMissing or DatabaseMissing.
    """
    patience = settings.connect_timeout if patience is None else patience
    backend = backends.of(url)
    engine = backend.engine(url, parameters=parameters, read_only=read_only)
    database = Database(
        what=f"{what} ({urls.show(url)})",
        engine=engine,
        backend=backend,
        attempts=settings.attempts,
        stopping=stopping,
    )
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(
            lambda error: (
                isinstance(error, database.errors)
                and backend.fault(error) in (backends.Fault.AGAIN, backends.Fault.OTHER)
            )
        ),
        stop=tenacity.stop_after_delay(patience),
        wait=tenacity.wait_random_exponential(multiplier=0.2, max=5),
        sleep=stopping.wait,
    )
    try:
        retrying(lambda: engine.connect().close())
    except tenacity.RetryError as error:
        cause = error.last_attempt.exception()
        raise Unreachable(database.what, patience, message(cause)) from None
    except database.errors as error:
        raise understand(error, database.what, backend) from error
    return database
