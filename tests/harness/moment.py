"""Run alembic, and send this very process a signal at one moment of its work.

``python -m tests.harness.moment`` takes alembic's arguments, or those of cellmap if
``MOMENT_PROGRAM`` in the environment is ``cellmap``. ``MOMENT`` says when, as in
``after INSERT INTO instance_mappings #2``, or ``#2,5`` for two signals, and
``MOMENT_SIGNAL`` says which one. ``COMMIT`` is that of a batch. With a
``MOMENT_PATIENCE``, in seconds, the command and its servers wait for each other so
long.
"""

import os
import re
import signal
import sys
from typing import Any

import sqlalchemy as sa
from alembic.config import main
from sqlalchemy.engine.default import DefaultDialect

from cellmap_migrations.cli import fleet
from cellmap_migrations.cli import main as console
from cellmap_migrations.databases import mysql_limits, postgresql_limits
from cellmap_migrations.databases.mysql import MySQL

# Quotes, spaces, and the hints that MySQL takes behind the first word.
NEITHER_NAME_NOR_WORD = re.compile(r'([`"\s]|/\*\+.*?\*/)+')

IDLE = "idle_in_transaction_session_timeout = '5s'"

MOMENT = re.compile(r"(?P<when>before|after) (?P<what>.+) #(?P<counts>[\d,]+)")


class Moment:
    """Count the moments, and send the signal at the chosen one."""

    def __init__(self, text: str, number: signal.Signals) -> None:
        found = MOMENT.fullmatch(text)
        assert found, text
        self.when, self.what = found["when"], found["what"]
        self.count, self.due = 0, {*map(int, found["counts"].split(","))}
        self.number = number
        self.last = ""

    def pass_by(self, when: str, statement: str) -> None:
        """Count a statement before or after its execution."""
        text = NEITHER_NAME_NOR_WORD.sub(" ", statement)
        if when == "after":
            self.last = text
        if when == self.when and self.what in text:
            self.count += 1
            if self.count in self.due:
                # To this thread: a signal to the process lets it run on for a moment.
                signal.raise_signal(self.number)


def watch(moment: Moment) -> None:
    """Let every connection of this process report its statements to *moment*."""

    @sa.event.listens_for(sa.Engine, "before_cursor_execute")
    def before(_: Any, __: Any, statement: str, *___: Any) -> None:
        moment.pass_by("before", statement)

    @sa.event.listens_for(sa.Engine, "after_cursor_execute")
    def after(_: Any, __: Any, statement: str, *___: Any) -> None:
        moment.pass_by("after", statement)

    commit: Any = DefaultDialect.do_commit

    def do_commit(dialect: DefaultDialect, connection: Any) -> None:
        of_batch = "INSERT INTO cellmap_journal" in moment.last
        if of_batch:
            moment.pass_by("before", "COMMIT")
        commit(dialect, connection)
        if of_batch:
            moment.pass_by("after", "COMMIT")

    DefaultDialect.do_commit = do_commit  # type: ignore[method-assign]


def be_patient(seconds: str) -> None:
    """Raise the limits on idle transactions, answers and signals to *seconds*.

    A run that ends sooner was interrupted, and a lock that a frozen run holds is held
    until it is thawed, however slow the machine is.
    """
    fleet.PATIENCE = postgresql_limits.SECONDS = float(seconds)
    mysql_limits.OF_SESSION[mysql_limits.MARIADB]["idle_transaction_timeout"] = seconds
    mysql_limits.IDLE_SECONDS = seconds
    for name in ("BEGIN", "BEGIN_READ_ONLY"):
        limits = getattr(postgresql_limits, name)
        assert IDLE in limits
        idle = IDLE.replace("5", seconds)
        setattr(postgresql_limits, name, limits.replace(IDLE, idle))
    bounded = MySQL.bounded

    def unbounded(self: MySQL, url: sa.URL) -> sa.URL:
        patience = dict.fromkeys(("read_timeout", "write_timeout"), seconds)
        return bounded(self, url.update_query_dict(patience))

    MySQL.bounded = unbounded  # type: ignore[method-assign]


if __name__ == "__main__":
    if patience := os.environ.get("MOMENT_PATIENCE"):
        be_patient(patience)
    watch(
        Moment(os.environ["MOMENT"], signal.Signals[os.environ["MOMENT_SIGNAL"]]),
    )
    if os.environ.get("MOMENT_PROGRAM") == "cellmap":
        sys.exit(console.main())
    main(prog="alembic")
