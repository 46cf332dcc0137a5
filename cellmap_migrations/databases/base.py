"""What every backend can do, and what is the same for all of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import sqlalchemy as sa
from oslo_db import exception as oslo_exception
from oslo_db.sqlalchemy import engines

from cellmap_migrations.databases.codes import DATA_ERRORS, Fault, Refusals
from cellmap_migrations.databases.status import Status

if TYPE_CHECKING:
    import re
    from collections.abc import Mapping, Sequence


Version = tuple[int, ...]


class DriverMissing(Exception):
    """No driver for the database of a URL."""


class Backend(ABC):
    """One kind of database server, told apart by the codes of its errors."""

    port: ClassVar[int | None] = None
    drivernames: ClassVar[Sequence[str]]
    quietly: ClassVar[Sequence[str]] = ()
    package: ClassVar[str]
    # Arguments of a URL that a row of cell_mappings may have.
    arguments: ClassVar[Mapping[str, re.Pattern[str]]]
    # What the driver calls the seconds that a part of connecting may take.
    timeouts: ClassVar[Sequence[str]] = ()
    again: ClassVar[frozenset[Any]]
    # The faults that another attempt cannot mend.
    refused: ClassVar[Mapping[Any, Fault]]
    # Whether two threads get more done than one: their statements do not wait for each
    # other, nor for this process.
    works_by_itself: ClassVar[bool] = True
    # How long a batch takes at the least, whatever the option of this name says.
    batch_seconds: ClassVar[float] = 0.0
    # Most rows in a batch, unless an option says how many.
    batch_rows: ClassVar[int] = 10_000
    # Only those that the driver does not call a DataError or an IntegrityError.
    data: ClassVar[frozenset[Any]] = frozenset()
    refusals: ClassVar[Refusals] = Refusals()
    status: ClassVar[Status] = Status()
    # The oldest version of each server that has all functions and all syntax that this
    # package sends to it (docs/servers.rst).
    oldest: ClassVar[Mapping[str, Version]] = {}

    def installed(self, url: sa.URL) -> bool:
        """Say whether the driver that *url* names can be imported."""
        try:
            url.get_dialect().import_dbapi()
        except (ImportError, sa.exc.NoSuchModuleError):
            return False
        return True

    def engine(self, url: sa.URL, *, parameters: str, read_only: bool) -> sa.Engine:
        """Return an engine whose statements wait a second for locks, not a minute.

        *parameters* are nova.conf's ``connection_parameters``. The server refuses every
        write in the transactions of a *read_only* engine.
        """
        engine: sa.Engine = engines.create_engine(
            self.bounded(url),
            connection_parameters=parameters,
            # nova.conf's max_retries is -1 in most deployments: for ever. The budget
            # is connect_timeout, in connect.py.
            max_retries=0,
            max_pool_size=4,
            connection_recycle_time=600,
        )
        self.limit(engine, read_only=read_only)
        return engine

    @abstractmethod
    def bounded(self, url: sa.URL) -> sa.URL:
        """Return *url* with timeouts for the network, unless it sets its own."""

    @abstractmethod
    def limit(self, engine: sa.Engine, *, read_only: bool) -> None:
        """Let the server bound how long a statement of *engine* takes.

        No setting stays in a session, because a pooler may give that to nova next.
        """

    def server(self, driver: Any) -> tuple[str, Version]:  # noqa: ARG002
        """Return the name and the version of the server that answers *driver*.

        Return an empty version if it is not known, or does not matter.
        """
        return "", ()

    def explain(self, error: Exception, url: sa.URL) -> str | None:  # noqa: ARG002
        """Return what in *url* has to change after an *error* that is no database's.

        Return None if the text of *error* is enough.
        """
        return None

    @abstractmethod
    def code(self, error: BaseException) -> Any:
        """Return the code by which the server names *error*, or None."""

    @abstractmethod
    def checksum(self, text: sa.ColumnElement[str]) -> sa.ColumnElement[Any]:
        """Return the SQL aggregate that adds up 60 bits of the MD5 of each *text*.

        Every backend yields the same sum for the same rows, in any order.
        """

    def own_checksum(
        self,
        text: sa.ColumnElement[str],
        oldest: Version,  # noqa: ARG002
    ) -> sa.ColumnElement[Any]:
        """Return a cheaper sum of 64 bits of each *text*, the same on this backend.

        *oldest* is the version of the older one of the two servers that are compared.
        """
        return self.checksum(text)

    def insert(
        self,
        connection: sa.Connection,
        table: sa.Table,
        rows: Sequence[Mapping[str, Any]],
    ) -> None:
        """Insert *rows*, which have the same columns, by plain INSERTs."""
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
        """Insert a row for each line, by plain INSERTs and without touching a row.

        Lines are separated by newlines, their fields by tabs, in the order of
        *columns*; there is no character in them that SQL would take for the end of a
        text. *constants* are the same in every row.
        """

    def fault(self, error: BaseException) -> Fault:
        """Say what *error* means, by its code and never by its words."""
        inner = driver_error(error)
        code = self.code(inner)
        if isinstance(error, oslo_exception.DBConnectionError) or code in self.again:
            return Fault.AGAIN
        if code in self.refused:
            return self.refused[code]
        kinds = {kind.__name__ for kind in type(inner).__mro__}
        if code in self.data or kinds & DATA_ERRORS:
            return Fault.DATA
        return Fault.OTHER


DATABASE_ERRORS = (sa.exc.SQLAlchemyError, oslo_exception.DBError)


def driver_error(error: BaseException) -> BaseException:
    """Return the driver's own error inside oslo.db's and SQLAlchemy's."""
    inner = getattr(error, "inner_exception", None) or getattr(error, "orig", None)
    return driver_error(inner) if inner is not None else error
