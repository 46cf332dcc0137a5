"""Read an open database, and retry its transactions."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa
import tenacity

from cellmap_migrations.common import background, secrets
from cellmap_migrations.common.errors import DatabaseMissing
from cellmap_migrations.common.sentences import (
    AccountUnusable,
    ArgumentRefused,
    DatabaseHidden,
    DatabaseRefused,
    HostRefused,
    LoginMethodMissing,
    PasswordRefused,
    PrivilegeMissing,
    StatementPooling,
    StillFailing,
    TlsRefused,
)
from cellmap_migrations.databases import base, codes, folding
from cellmap_migrations.databases.base import DATABASE_ERRORS
from cellmap_migrations.databases.options import READING, STATUS, TABLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cellmap_migrations.common.errors import CellmapError
    from cellmap_migrations.common.stopping import Stopping
    from cellmap_migrations.databases.status import Identity


FAULTS: dict[codes.Fault, Callable[..., CellmapError]] = {
    codes.Fault.LOGIN: PasswordRefused,
    codes.Fault.ACCOUNT: AccountUnusable,
    codes.Fault.HOST: HostRefused,
    codes.Fault.METHOD: LoginMethodMissing,
    codes.Fault.TLS: TlsRefused,
    codes.Fault.ARGUMENT: ArgumentRefused,
    codes.Fault.RIGHTS: PrivilegeMissing,
    codes.Fault.HIDDEN: DatabaseHidden,
    codes.Fault.MISSING: DatabaseMissing,
    codes.Fault.POOLING: StatementPooling,
}

# Servers do not always name the user.
AS_USER = {
    codes.Fault.LOGIN,
    codes.Fault.ACCOUNT,
    codes.Fault.HOST,
    codes.Fault.METHOD,
    codes.Fault.TLS,
}


def message(error: BaseException | None) -> str:
    """Return what the driver said, masked: no SQL, no parameters, no passwords."""
    inner = base.driver_error(error) if error else None
    return secrets.mask(inner) or type(inner).__name__


def understand(error: BaseException, database: Database) -> CellmapError:
    """Return *error* of *database* in an operator's terms."""
    fault = database.backend.fault(error)
    if fault is codes.Fault.AGAIN:
        return StillFailing(what=database.what, attempts=1, message=message(error))
    what = database.what
    if fault in AS_USER:
        user = secrets.one_line(secrets.mask(database.engine.url.username or "nobody"))
        what = f"{what}, user {user}"
    return FAULTS.get(fault, DatabaseRefused)(what=what, message=message(error))


T = TypeVar("T")


class Changed(Exception):
    """What a transaction was decided on may be so no more; it has to begin again."""


# Seconds for a look at a cell while mappings are locked.
SOON = 1.5

BACKOFF = tenacity.wait_random_exponential(multiplier=0.1, max=5)


@dataclass(frozen=True, kw_only=True)
class Database:
    """An open database: its engine, its backend, and what to call it."""

    what: str
    engine: sa.Engine
    backend: base.Backend
    attempts: int
    stopping: Stopping

    def read(self, statement: sa.Executable) -> list[Any]:
        """Return the rows of one statement, in a transaction of its own."""
        try:
            return self.again(lambda: self.read_once(statement))
        except self.errors as error:
            raise understand(error, self) from error

    def read_once(self, statement: sa.Executable) -> list[Any]:
        """Return the rows of one statement; the transaction ends with it."""
        with self.reading() as connection:
            return list(connection.execute(statement).all())

    def read_soon(self, statement: sa.Executable) -> list[Any]:
        """Return the rows of one statement, for a caller that holds locks elsewhere.

        Raises Changed when they do not come within SOON seconds, or may come later:
        whoever catches that lets go of the locks, and begins again.
        """
        try:
            return background.soon(lambda: self.read_once(statement), SOON)
        except TimeoutError:
            raise Changed(f"{self.what} did not answer within {SOON:g} s") from None
        except self.errors as error:
            if self.may_pass(error):
                raise Changed(f"{self.what}: {message(error)}") from error
            raise understand(error, self) from error

    @cached_property
    def fold(self) -> folding.Folding:
        """How the unique index on ``instance_mappings.instance_uuid`` compares uuids.

        Raises UuidsConfused.
        """
        return self.again(self.fold_now)

    def fold_now(self) -> folding.Folding:
        """Ask how the index compares uuids; do not retry."""
        with self.reading() as connection:
            return folding.ask(connection, self.what)

    def has_table(self, name: str) -> bool:
        """Say whether there is a table *name*."""
        return self.again(lambda: self.has_table_now(name))

    def has_table_now(self, name: str) -> bool:
        """Look for a table once."""
        with self.reading() as connection:
            return bool(sa.inspect(connection).has_table(name))

    def columns(self, table: sa.Table) -> frozenset[str]:
        """Return the names of the columns that *table* has there; none without it."""
        return self.again(lambda: self.columns_now(table))

    def columns_now(self, table: sa.Table) -> frozenset[str]:
        """Look for the columns once."""
        with self.reading() as connection:
            inspector = sa.inspect(connection)
            if not inspector.has_table(table.name):
                return frozenset()
            found = inspector.get_columns(table.name)
        return frozenset(column["name"] for column in found)

    def identity(self) -> Identity:
        """Return which database this is, asked once."""
        with self.reading(status=True) as connection:
            return self.backend.status.identity(connection)

    @contextmanager
    def reading(self, *, status: bool = False) -> Iterator[sa.Connection]:
        """Yield a connection in whose transaction the server refuses writes.

        A node of a Galera cluster first applies what the other nodes have committed,
        unless only the server's *status* is read.
        """
        option = {READING: STATUS if status else TABLES}
        with self.engine.connect().execution_options(**option) as connection:
            yield connection

    def again(self, work: Callable[[], T]) -> T:
        """Return what *work* returns, running it again where that may help.

        Raises StillFailing after ``attempts``, or what ``understand`` makes of an
        error that another attempt cannot mend.
        """
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(self.may_pass),
            stop=tenacity.stop_after_attempt(self.attempts),
            wait=BACKOFF,
            sleep=self.stopping.wait,
        )
        try:
            return retrying(work)
        except tenacity.RetryError as error:
            cause = error.last_attempt.exception()
            raise StillFailing(
                what=self.what, attempts=self.attempts, message=message(cause)
            ) from None
        except self.errors as error:
            if self.backend.fault(error) is codes.Fault.DATA:
                raise
            raise understand(error, self) from error

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """Every error of this database; some come from the driver as they are.

        SQLAlchemy wraps those of statements, and not those of what it does itself when
        it takes a connection from the pool or puts it back.
        """
        dbapi: Any = self.engine.dialect.loaded_dbapi
        return (*DATABASE_ERRORS, dbapi.Error)

    def may_pass(self, error: BaseException) -> bool:
        """Say whether the same work may succeed later."""
        return isinstance(error, Changed) or (
            isinstance(error, self.errors)
            and self.backend.fault(error) is codes.Fault.AGAIN
        )

    @property
    def version(self) -> base.Version:
        """The version of the server, or nothing before the first connection."""
        numbers = self.engine.dialect.server_version_info or ()
        return tuple(number for number in numbers if isinstance(number, int))

    def close(self) -> None:
        """Close every connection, and one that a thread still waits on after that.

        The pool would leave that to the end of the process.
        """
        sa.event.listen(self.engine, "checkin", lambda _, record: record.close())
        self.engine.dispose()
