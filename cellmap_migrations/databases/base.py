"""Define the interface of a backend, and implement the common parts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from typing import TYPE_CHECKING, Any, ClassVar

import sqlalchemy as sa
from oslo_db import exception as oslo_exception
from oslo_db.sqlalchemy import engines

from cellmap_migrations.databases.among import among, parts
from cellmap_migrations.databases.codes import DATA_ERRORS, Fault, Refusals
from cellmap_migrations.databases.status import Status

if TYPE_CHECKING:
    import re
    from collections.abc import Mapping, Sequence


Version = tuple[int, ...]

# The id of a row, the old and the new value of a column.
Change = tuple[int, Any, Any]

# The execution option of a connection that only reads, and its values: it reads either
# tables or the server's status.
READING = "cellmap_reading"
TABLES, STATUS = "tables", "status"


class Backend(ABC):
    """Connect to one kind of database, and classify its errors by their codes."""

    port: ClassVar[int | None] = None
    drivernames: ClassVar[Sequence[str]]
    # Driver names that are replaced without a warning.
    quietly: ClassVar[Sequence[str]] = ()
    package: ClassVar[str]
    # Arguments of a URL that a row of cell_mappings may have.
    arguments: ClassVar[Mapping[str, re.Pattern[str]]]
    # The driver's arguments for timeouts in seconds while it connects.
    timeouts: ClassVar[Sequence[str]] = ()
    # Codes of errors after which the same transaction may succeed.
    transient: ClassVar[frozenset[Any]]
    # The faults by code that another attempt cannot correct.
    refused: ClassVar[Mapping[Any, Fault]]
    # True if two threads are faster than one, because the database executes their
    # statements at the same time and in another process.
    works_by_itself: ClassVar[bool] = True
    # The least duration of a batch. It overrides a smaller option of this name.
    batch_seconds: ClassVar[float] = 0.0
    # The default of the option batch_rows_max.
    batch_rows: ClassVar[int] = 10_000
    # Codes of refused rows that the driver raises neither as DataError nor as
    # IntegrityError.
    data: ClassVar[frozenset[Any]] = frozenset()
    refusals: ClassVar[Refusals] = Refusals()
    status: ClassVar[Status] = Status()
    # The oldest version of each server that has all functions and all syntax that this
    # package sends to it (docs/servers.rst).
    oldest: ClassVar[Mapping[str, Version]] = {}

    def installed(self, url: sa.URL) -> bool:
        """Return True if the driver that *url* names can be imported."""
        try:
            url.get_dialect().import_dbapi()
        except (ImportError, sa.exc.NoSuchModuleError):
            return False
        return True

    def engine(self, url: sa.URL, *, parameters: str, read_only: bool) -> sa.Engine:
        """Return an engine whose statements wait one second for a lock.

        *parameters* are nova.conf's ``connection_parameters``. The server refuses every
        write in the transactions of a *read_only* engine.
        """
        engine: sa.Engine = engines.create_engine(
            self.bounded(url),
            connection_parameters=parameters,
            # Most deployments set max_retries to -1, for ever. connect.py retries for
            # connect_timeout instead.
            max_retries=0,
            max_pool_size=4,
            connection_recycle_time=600,
        )
        self.limit(engine, read_only=read_only)
        return engine

    def connect(
        self,
        dialect: sa.Dialect,
        _: Any,
        arguments: Sequence[Any],
        parameters: Mapping[str, Any],
    ) -> Any:
        """Return a new connection of the driver, as SQLAlchemy's event do_connect."""
        return dialect.connect(*arguments, **parameters)

    @abstractmethod
    def bounded(self, url: sa.URL) -> sa.URL:
        """Return *url* with network timeouts. Those that it already has stay."""

    @abstractmethod
    def limit(self, engine: sa.Engine, *, read_only: bool) -> None:
        """Make the server limit the duration of each statement of *engine*.

        No setting may stay in the session, because a pooler may pass it on to nova.
        """

    def server(
        self,
        entry: sa.pool.ManagesConnection,  # noqa: ARG002
    ) -> tuple[str, Version]:
        """Return the name and the version of the server that a connection leads to.

        The version is empty if it is not known, or does not matter.
        """
        return "", ()

    def explain(self, error: Exception, url: sa.URL) -> str | None:  # noqa: ARG002
        """Return the correction of *url* after an *error* that Python raised.

        Returns None if the text of *error* is enough.
        """
        return None

    @abstractmethod
    def code(self, error: BaseException) -> Any:
        """Return the server's code of *error*, or None without one."""

    @abstractmethod
    def checksum(self, text: sa.ColumnElement[str]) -> sa.ColumnElement[Any]:
        """Return the SQL aggregate that adds up 60 bits of the SHA-256 of each *text*.

        Every backend yields the same sum for the same rows, in any order.
        """

    def own_checksum(self, text: sa.ColumnElement[str]) -> sa.ColumnElement[Any]:
        """Return a faster aggregate of 64 bits, for two databases of this backend."""
        return self.checksum(text)

    def insert(
        self,
        connection: sa.Connection,
        table: sa.Table,
        rows: Sequence[Mapping[str, Any]],
    ) -> None:
        """Insert *rows*, which all have the same columns, with plain INSERTs."""
        connection.execute(sa.insert(table), rows)

    @abstractmethod
    def insert_lines(
        self,
        connection: sa.Connection,
        table: sa.Table,
        columns: Sequence[str],
        lines: str,
        constants: Mapping[str, Any],
    ) -> None:
        """Insert one row for each line, with plain INSERTs.

        Newlines separate the lines, and tabs their fields, in the order of *columns*.
        The lines contain no quote and no backslash. Every row gets the *constants*.
        """

    def update_rows(
        self,
        connection: sa.Connection,
        column: sa.Column[Any],
        changes: Sequence[Change],
        where: Mapping[str, Any],
    ) -> int:
        """Set *column* in the rows of its table with *changes*; return their number.

        A row is left as it is if it has another value than the old one, or if one of
        its columns in *where* has another value than there.
        """
        return update_pairs(connection, column, changes, where)

    def fault(self, error: BaseException) -> Fault:
        """Return the meaning of *error*, from its code and never from its message."""
        inner = driver_error(error)
        code = self.code(inner)
        if (
            isinstance(error, oslo_exception.DBConnectionError)
            or code in self.transient
        ):
            return Fault.TRANSIENT
        if code in self.refused:
            return self.refused[code]
        kinds = {kind.__name__ for kind in type(inner).__mro__}
        if code in self.data or kinds & DATA_ERRORS:
            return Fault.DATA
        return Fault.OTHER


# With more pairs of an old and a new value than these, the changes are sent as a table.
FEW_PAIRS = 4


def has_few_pairs(changes: Sequence[Change]) -> bool:
    """Return True if *changes* have at most FEW_PAIRS pairs of values."""
    return len({change[1:] for change in changes}) <= FEW_PAIRS


def update_pairs(
    connection: sa.Connection,
    column: sa.Column[Any],
    changes: Sequence[Change],
    where: Mapping[str, Any],
) -> int:
    """Do what ``Backend.update_rows`` does, with an UPDATE for each pair of values."""
    ids: dict[tuple[Any, Any], list[int]] = defaultdict(list)
    for number, old, new in changes:
        ids[old, new].append(number)
    table = column.table
    same = [table.c[name] == value for name, value in where.items()]
    count = 0
    for (old, new), numbers in ids.items():
        update = sa.update(table).values({column.name: new})
        update = update.where(*same, column.is_not_distinct_from(old))
        for some in parts(numbers):
            count += connection.execute(update.where(among(table.c.id, some))).rowcount
    return count


DATABASE_ERRORS = (sa.exc.SQLAlchemyError, oslo_exception.DBError)


def autocommits(connection: sa.Connection) -> bool:
    """Return True if each statement on *connection* is a transaction of its own."""
    return connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT"


def driver_error(error: BaseException) -> BaseException:
    """Return the driver's error inside errors of oslo.db and SQLAlchemy."""
    inner = getattr(error, "inner_exception", None) or getattr(error, "orig", None)
    return driver_error(inner) if inner is not None else error
