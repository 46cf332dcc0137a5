"""Run the threads of a command one after the other, in an order that repeats."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from math import inf
from typing import Any
from unittest import mock

from cellmap_migrations.bookkeeping import keep_alive
from cellmap_migrations.cell import slowdown, throttle
from cellmap_migrations.common import background
from cellmap_migrations.copying import pages, pipeline
from cellmap_migrations.databases import mysql_limits, postgresql_limits
from tests.harness.cloud import HOUR

IDLE = "idle_in_transaction_session_timeout = '{}s'"

BEGIN, BEGIN_READ_ONLY = (
    begin.replace(IDLE.format(5), IDLE.format(HOUR))
    for begin in (postgresql_limits.BEGIN, postgresql_limits.BEGIN_READ_ONLY)
)


class Late(Future[Any]):
    """Begin the work of a future when its result is asked for."""

    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__()
        self.work = work

    def finish(self) -> None:
        """Do the work in this thread, unless it is done."""
        if self.running() or self.done():
            return
        self.set_running_or_notify_cancel()
        try:
            self.set_result(self.work())
        # As background.start does.
        except BaseException as error:  # noqa: BLE001
            self.set_exception(error)


def at_once(work: Callable[[], Any]) -> Late:
    """Do *work* at once: it ends before whatever its caller does next."""
    future = Late(work)
    future.finish()
    return future


def start(work: Callable[[], Any]) -> Late:
    """Read a page as early as a run may, and write one as late as it may.

    With two writers, write a page before the page in front of it is written. Its COMMIT
    waits for that one.
    """
    assert isinstance(work, partial)
    reads, turn = work.func is pages.read_page, work.keywords.get("turn")
    overtakes = turn is not None and not turn.args[0].done()
    return at_once(work) if reads or overtakes else Late(work)


def wait_for(future: Late, _: Callable[[], object] = lambda: None) -> Any:
    """Return the result of *future*."""
    future.finish()
    return future.result()


@contextmanager
def in_one_thread() -> Iterator[None]:
    """Let no thread start, and no server end an idle session, while the block runs.

    Each page is read before the page in front of it is written. No other order of one
    writer shows more: an instance is in one page only. On a busy machine a session that
    ends, or that is kept alive, would add statements, and so would a second look for
    requests of operators or for others who use the database.
    """
    limits = mysql_limits.OF_SESSION[mysql_limits.MARIADB]
    with (
        mock.patch.object(keep_alive, "IDLE_SECONDS", inf),
        mock.patch.object(throttle, "EVERY", inf),
        mock.patch.object(slowdown, "SECOND_LOOK", inf),
        mock.patch.dict(limits, {mysql_limits.IDLE[mysql_limits.MARIADB]: HOUR}),
        mock.patch.object(mysql_limits, "IDLE_SECONDS", HOUR),
        mock.patch.object(postgresql_limits, "BEGIN", BEGIN),
        mock.patch.object(postgresql_limits, "BEGIN_READ_ONLY", BEGIN_READ_ONLY),
        mock.patch.object(background, "start", at_once),
        mock.patch.object(pipeline, "start", start),
        mock.patch.object(pipeline, "wait_for", wait_for),
    ):
        yield
