"""Kill an upgrade, or take a connection from it, at one statement."""

import os
import signal
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any
from unittest import mock

import sqlalchemy as sa
import tenacity

from cellmap_migrations.databases import database
from tests.harness.waiting import wait_for
from tests.interleavings.grid import Case, Explorer
from tests.interleavings.judge import KILLED
from tests.interleavings.points import COMMIT, STAMP, Point

KILL, LOSE, SILENCE = "kill", "lose-connection", "lose-answer"


def crash(explorer: Explorer, kind: str, number: int) -> Case:
    """Cause a crash of *kind* at statement *number*, and judge the end.

    A kill after a statement leaves the same rows as a kill before the next statement.
    """
    case = Case(number=number, prefixes=())
    if kind == KILL:
        explorer.disturb(case, kill, run=forked)
        if case.codes[0] != KILLED:
            case.complaints.append(("", f"not killed, but {case.codes[0]}"))
        return case
    lose = partial(end_session, explorer.world.server.admin(), answers=kind == SILENCE)
    # An attempt that comes at once sees no other rows.
    with mock.patch.object(database, "BACKOFF", tenacity.wait_none()):
        return explorer.disturb(case, lose, after=kind == SILENCE)


def kill(_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def forked(work: Callable[[], int]) -> int:
    """Return the exit code of *work* in a process of its own, or minus its signal."""
    with warnings.catch_warnings():
        # A worker of pytest-xdist has a second thread, which only reads.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = work()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def end_session(admin: sa.Engine, driver: Any, *, answers: bool) -> None:
    """End the session of a connection of PostgreSQL.

    *answers*: raise the error of a driver that waits for the answer.
    """
    # A commit passes SQLAlchemy's proxy of the connection.
    driver = getattr(driver, "dbapi_connection", driver)
    number = driver.info.backend_pid
    query = f"SELECT count(*) FROM pg_stat_activity WHERE pid = {number}"
    with admin.connect() as connection:
        connection.exec_driver_sql(f"SELECT pg_terminate_backend({number})")
        wait_for(
            lambda: connection.exec_driver_sql(query).scalar_one() == 0,
            "the end of a session",
        )
    if answers:
        driver.execute("SELECT 1")


def commits(point: Point) -> bool:
    """Return True if the statement commits something."""
    return point.text == COMMIT or bool(STAMP.match(point.text))


def changes(explorer: Explorer) -> list[Point]:
    """Return the points before which a kill leaves other rows than before others.

    Until the next COMMIT a killed run has left nothing more. But an open transaction
    may be left, with its locks or, on SQLite, with its journal.
    """
    return [
        point
        for point in explorer.points
        if commits(point) or point.text.startswith(("INSERT", "UPDATE", "DELETE"))
    ]
