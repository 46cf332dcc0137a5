"""Read an open database, and retry its transactions after transient errors."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
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
from cellmap_migrations.databases.base import DATABASE_ERRORS, READING, STATUS, TABLES

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

# Faults of a login. Some servers do not name the user in their message.
AS_USER = {
    codes.Fault.LOGIN,
    codes.Fault.ACCOUNT,
    codes.Fault.HOST,
    codes.Fault.METHOD,
    codes.Fault.TLS,
}


def message(error: BaseException | None) -> str:
    """Return the driver's masked message, without SQL and parameters."""
    inner = base.driver_error(error) if error else None
    return secrets.mask(inner) or type(inner).__name__


def as_cellmap_error(error: BaseException, database: Database) -> CellmapError:
    """Return *error* of *database* as an error with a remedy and an exit code."""
    fault = database.backend.fault(error)
    if fault is codes.Fault.TRANSIENT:
        return StillFailing(what=database.what, attempts=1, message=message(error))
    what = database.what
    if fault in AS_USER:
        user = secrets.one_line(secrets.mask(database.engine.url.username or "nobody"))
        what = f"{what}, user {user}"
    return FAULTS.get(fault, DatabaseRefused)(what=what, message=message(error))


T = TypeVar("T")


class Changed(Exception):
    """Report that the rows that a transaction was planned from have changed."""


# Seconds to read from a cell while this run holds locks on mappings.
LOCKED_READ_SECONDS = 1.5

BACKOFF = tenacity.wait_random_exponential(multiplier=0.1, max=5)


@dataclass(frozen=True, kw_only=True)
class Database:
    """Hold the engine and the backend of a database; messages name it *what*."""

    what: str
    engine: sa.Engine
    backend: base.Backend
    attempts: int
    stopping: Stopping
    # The columns of the tables that exist, by the names of the tables.
    known_columns: dict[str, frozenset[str]] = field(default_factory=dict)

    def read(self, statement: sa.Executable) -> list[Any]:
        """Return the rows of one statement in its own transaction; retry it."""
        try:
            return self.retry(lambda: self.read_once(statement))
        except self.errors as error:
            raise as_cellmap_error(error, self) from error

    def read_once(self, statement: sa.Executable) -> list[Any]:
        """Return the rows of one statement in its own transaction; do not retry."""
        with self.reading() as connection:
            return list(connection.execute(statement).all())

    def holding_locks(self, work: Callable[[], T]) -> T:
        """Return what *work* reads, while the caller has locks elsewhere.

        Raises Changed after LOCKED_READ_SECONDS or a transient error. Its handler must
        roll back, which releases the locks, and may then plan the batch again.
        """
        try:
            return background.result_within(work, LOCKED_READ_SECONDS)
        except TimeoutError:
            raise Changed(
                f"{self.what} did not answer within {LOCKED_READ_SECONDS:g} s"
            ) from None
        except self.errors as error:
            if self.is_transient(error):
                raise Changed(f"{self.what}: {message(error)}") from error
            raise as_cellmap_error(error, self) from error

    @cached_property
    def fold(self) -> folding.Folding:
        """Return how the unique index on ``instance_uuid`` compares uuids.

        Raises UuidsConfused.
        """
        return self.retry(self.fold_once)

    def fold_once(self) -> folding.Folding:
        """Return how the index compares uuids; do not retry."""
        with self.reading() as connection:
            return folding.detect(connection, self.what)

    def has_table(self, name: str) -> bool:
        """Return True if the table *name* exists."""
        return self.retry(lambda: self.has_table_once(name))

    def has_table_once(self, name: str) -> bool:
        """Return True if the table *name* exists; do not retry."""
        with self.reading() as connection:
            return bool(sa.inspect(connection).has_table(name))

    def columns(self, table: sa.Table) -> frozenset[str]:
        """Return the columns of *table* in this database; none if it does not exist.

        A table that exists is looked up once, until ``columns_now`` does so again.
        """
        return self.retry(lambda: self.columns_once(table))

    def columns_now(self, table: sa.Table) -> frozenset[str]:
        """Look up the columns of *table*; none if it does not exist."""
        self.known_columns.pop(table.name, None)
        return self.columns(table)

    def columns_once(self, table: sa.Table) -> frozenset[str]:
        """Return the columns of *table* in this database; do not retry."""
        if table.name not in self.known_columns:
            with self.reading() as connection:
                inspector = sa.inspect(connection)
                if not inspector.has_table(table.name):
                    return frozenset()
                found = inspector.get_columns(table.name)
            self.known_columns[table.name] = frozenset(each["name"] for each in found)
        return self.known_columns[table.name]

    def identity(self) -> Identity:
        """Return the identity of this database; do not retry."""
        with self.reading(status=True) as connection:
            return self.backend.status.identity(connection)

    def server(self) -> str:
        """Return the product and the version of the server; do not retry."""
        with self.reading(status=True) as connection:
            name, version = self.backend.server(connection.connection)
        return f"{name} {'.'.join(map(str, version))}".strip()

    @contextmanager
    def reading(self, *, status: bool = False) -> Iterator[sa.Connection]:
        """Yield a connection in whose transaction the server refuses writes.

        A Galera node first applies the commits of the other nodes, unless *status* is
        True because the caller reads only the server's status.
        """
        option = {READING: STATUS if status else TABLES}
        with self.engine.connect().execution_options(**option) as connection:
            yield connection

    def retry(self, work: Callable[[], T]) -> T:
        """Return the result of *work*; run it again after a transient error.

        Raises StillFailing after ``attempts`` runs, the driver's error if a row was
        refused, or the errors of ``as_cellmap_error``.
        """
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(self.is_transient),
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
            raise as_cellmap_error(error, self) from error

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """Return the classes of all errors of this database.

        The driver's own class is one of them. SQLAlchemy wraps the errors of statements
        but not the errors of taking a connection from the pool or returning it.
        """
        dbapi: Any = self.engine.dialect.loaded_dbapi
        return (*DATABASE_ERRORS, dbapi.Error)

    def is_transient(self, error: BaseException) -> bool:
        """Return True if *error* is transient: the same work may succeed later."""
        return isinstance(error, Changed) or (
            isinstance(error, self.errors)
            and self.backend.fault(error) is codes.Fault.TRANSIENT
        )

    def close(self) -> None:
        """Close every connection; close one in use as soon as its thread returns it.

        The pool would keep the latter open to the end of the process.
        """
        sa.event.listen(self.engine, "checkin", lambda _, record: record.close())
        self.engine.dispose()
