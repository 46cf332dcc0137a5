"""Kill an upgrade, or take a connection from it, at one statement."""

import os
import re
import signal
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any
from unittest import mock

import tenacity

from cellmap_migrations.databases import database
from tests.harness.waiting import wait_for
from tests.interleavings.actions import Prefix
from tests.interleavings.grid import Case, Explorer
from tests.interleavings.judge import KILLED
from tests.interleavings.points import COMMIT, STAMP, Point
from tests.interleavings.rivals import (
    Cause,
    Trouble,
    deadlock,
    deadlocks_found_at_once,
    hold_lock,
    silence,
)
from tests.interleavings.walks import disturb_at, walk_together
from tests.interleavings.world import World

# How the administrator ends a session, and the place where it is seen.
END = {
    "mysql": ("KILL {}", "information_schema.processlist WHERE id"),
    "postgresql": ("SELECT pg_terminate_backend({})", "pg_stat_activity WHERE pid"),
}

KILL, LOSE, UNANSWERED = "kill", "lose-connection", "lose-answer"

LOCK, DEADLOCK, SILENCE = "lock-timeout", "deadlock", "silence"

# What docs/reliability.rst says of each.
WORDS = {
    KILL: "the run is killed",
    LOSE: "the connection is lost",
    UNANSWERED: "the answer to a COMMIT is lost",
    LOCK: "another session holds the lock until the server gives up",
    DEADLOCK: "another session locks in the opposite order: deadlock",
    SILENCE: "the server is silent until the run gives up",
}

# What a driver says of an error that was to be caused.
TROUBLES: Mapping[str, tuple[Cause, re.Pattern[str]]] = MappingProxyType(
    {
        LOCK: (
            hold_lock,
            re.compile("lock timeout|Lock wait timeout|database is locked"),
        ),
        DEADLOCK: (deadlock, re.compile("[Dd]eadlock")),
        SILENCE: (silence, re.compile("no answer for|timed out")),
    }
)


def crash(
    explorer: Explorer,
    kind: str,
    number: int,
    prefixes: Sequence[Prefix] = (),
    *,
    undo: bool = True,
) -> Case:
    """Cause a crash of *kind* at statement *number*, and judge the end.

    A kill after a statement leaves the same rows as a kill before the next statement.
    *prefixes* are done right after the crash. *undo*: downgrade in the end.
    """
    case = Case(number=number, prefixes=prefixes, kind=kind)
    act = partial(explorer.act, case)
    if kind == KILL:
        explorer.disturb(case, kill, run=forked, then=act, undo=undo)
        if case.codes[0] != KILLED:
            case.complaints.append(("", f"not killed, but {case.codes[0]}"))
        return case

    def lose(driver: Any) -> None:
        # A commit passes SQLAlchemy's proxy of the connection.
        driver = getattr(driver, "dbapi_connection", driver)
        end_session(explorer.world, driver)
        act()
        if kind == UNANSWERED:
            wait_for_answer(explorer.world, driver)

    # An attempt that comes at once sees no other rows.
    with mock.patch.object(database, "BACKOFF", tenacity.wait_none()):
        if kind in TROUBLES:
            return trouble(explorer, kind, case)
        return explorer.disturb(case, lose, after=kind == UNANSWERED, undo=undo)


def trouble(explorer: Explorer, kind: str, case: Case) -> Case:
    """Cause an error of *kind*, and judge the end."""
    cause, words = TROUBLES[kind]
    found = Trouble(explorer.world, case, explorer.points[case.number - 1])
    with deadlocks_found_at_once(explorer.world):
        explorer.disturb(case, partial(found.begin, cause), run=found.awaited)
    if not case.why and not words.search(found.error):
        case.complaints.append(("", f"no {kind}, but {found.error or 'no error'}"))
    return case


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


def end_session(world: World, driver: Any) -> None:
    """End the session of a connection."""
    mysql = world.backend == "mysql"
    number = driver.thread_id() if mysql else driver.info.backend_pid
    end, sessions = END[world.backend]
    query = f"SELECT count(*) FROM {sessions} = {number}"
    with world.server.admin().connect() as connection:
        connection.exec_driver_sql(end.format(number))
        wait_for(
            lambda: connection.exec_driver_sql(query).scalar_one() == 0,
            "the end of a session",
        )


def wait_for_answer(world: World, driver: Any) -> None:
    """Raise the error of a driver that waits for the answer of a lost session."""
    if world.backend == "mysql":
        driver.ping(reconnect=False)
    else:
        driver.execute("SELECT 1")


def commits(point: Point) -> bool:
    """Return True if the statement commits something."""
    return point.text == COMMIT or bool(STAMP.match(point.text))


def changes(point: Point) -> bool:
    """Return True if a kill before *point* leaves other rows than before others.

    Until the next COMMIT a killed run has left nothing more. But an open transaction
    may be left, with its locks or, on SQLite, with its journal.
    """
    return commits(point) or point.text.startswith(("INSERT", "UPDATE", "DELETE"))


def anywhere(_: Point) -> bool:
    """Return True for each statement and COMMIT."""
    return True


def locks(point: Point) -> bool:
    """Return True if the statement locks rows."""
    return point.locks


# The points at which a crash happens, and why it happens at no other.
WHERE: Mapping[str, tuple[Callable[[Point], bool], str]] = MappingProxyType(
    {
        KILL: (changes, ""),
        LOSE: (anywhere, ""),
        UNANSWERED: (commits, "nothing is committed"),
        LOCK: (locks, "the statement locks no row"),
        DEADLOCK: (locks, "the statement locks no row"),
        SILENCE: (anywhere, ""),
    }
)


def crash_at(
    explorer: Explorer, kind: str, *, every: int = 1, together: bool = False
) -> None:
    """Cause a crash of *kind* at each point where it can happen; record failures.

    *together*: all actions of nova happen right after each crash.
    """
    where, why = WHERE[kind]
    if (kind, explorer.world.backend) == (LOCK, "sqlite"):
        where = anywhere
    chosen = [*filter(where, explorer.points)]
    others = len(explorer.points) - len(chosen)
    chosen = chosen[min(every, len(chosen)) // 2 :: every]
    number = len(explorer.prefixes) if together else 1
    explorer.cover(WORDS[kind] + (", then nova acts" if together else ""), number)
    coverage = explorer.coverage
    if why:
        coverage.pairs += others * number
        coverage.impossible[why] += others * number
    else:
        coverage.same += others * number
    if not together:
        disturb_at(chosen, explorer, kind, crash)
        return
    for point in chosen:
        coverage.pairs += number
        cause = partial(crash, explorer, kind)
        walk_together(explorer, point.number, explorer.prefixes, cause)
