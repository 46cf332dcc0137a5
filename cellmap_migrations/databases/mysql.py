"""Describe MariaDB and MySQL."""

from __future__ import annotations

import importlib
import ssl
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations.databases import arguments, codes, mysql_driver, mysql_limits
from cellmap_migrations.databases.base import Backend, driver_error
from cellmap_migrations.databases.codes import Fault
from cellmap_migrations.databases.mysql_status import MySQLStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cellmap_migrations.databases.base import Version

UNSIGNED = sa.Numeric(20, 0)

# Lines in a statement: some 0.8 MB, where a server may take no more than 4 MB.
LINES = 5_000


class MySQL(Backend):
    """Connect with PyMySQL; error codes are the server's numbers."""

    port = 3306
    drivernames = ("mysql+pymysql", "mysql+mysqldb")
    # "mysql" means mysqldb to SQLAlchemy; nova's own documentation writes pymysql.
    quietly = ("mariadb+pymysql",)
    package = "PyMySQL"
    status = MySQLStatus()
    refusals = codes.MYSQL
    arguments = arguments.MYSQL
    timeouts = ("connect_timeout", "read_timeout", "write_timeout")
    transient = codes.MYSQL_TRANSIENT
    refused = codes.MYSQL_REFUSED
    oldest = mysql_limits.OLDEST
    data = frozenset(
        {
            167,  # no value is left for an AUTO_INCREMENT
            1292,  # no time, such as 0000-00-00
            1364,  # no default, and no value
            1366,  # no text in the column's character set
            1467,  # what 167 is to the layer above
            1644,  # SIGNAL in a trigger
            3819,  # MySQL's CHECK constraint
            4025,  # MariaDB's CHECK constraint
        }
    )

    def connect(
        self,
        dialect: sa.Dialect,
        _: Any,
        arguments: Sequence[Any],
        parameters: Mapping[str, Any],
    ) -> Any:
        """Return a new connection, which shares its TLS context if it may."""
        if dialect.driver != "pymysql":
            return super().connect(dialect, _, arguments, parameters)
        module = "cellmap_migrations.databases.pymysql_connection"
        return importlib.import_module(module).SharedTls(*arguments, **parameters)

    def bounded(self, url: sa.URL) -> sa.URL:
        """Let a connection attempt take 5 s and an answer 30 s."""
        limits = {"connect_timeout": "5", "read_timeout": "30", "write_timeout": "30"}
        return url.update_query_dict({**limits, **url.query})

    def limit(self, engine: sa.Engine, *, read_only: bool) -> None:
        """Bound lock waits and answers in each statement."""
        # PyMySQL puts many rows into one statement only if it begins with INSERT.
        engine.dialect.use_insertmanyvalues_wo_returning = True
        mysql_limits.limit(engine, read_only=read_only)

    def server(self, entry: sa.pool.ManagesConnection) -> tuple[str, Version]:
        """Return the version of the server and not that of a pooler."""
        _, version = mysql_limits.query_session(entry)
        return mysql_limits.server(version)

    def checksum(self, text: sa.ColumnElement[str]) -> sa.ColumnElement[Any]:
        """Add up the first 15 hex digits of each SHA-256.

        MySQL 9.6 and later have MD5() in a component that is not installed by default.
        """
        digits = sa.func.conv(sa.func.left(sa.func.sha2(text, 256), 15), 16, 10)
        return sa.func.sum(sa.cast(digits, UNSIGNED))

    def own_checksum(self, text: sa.ColumnElement[str]) -> sa.ColumnElement[Any]:
        """Add up products of two CRCs of each text, half of the work of a SHA-256.

        A product, because CRCs are linear: where two rows have swapped a value, the
        changes of plain sums could cancel each other out.
        """
        return sa.func.sum(sa.func.crc32(text) * sa.func.crc32(sa.func.reverse(text)))

    def insert_lines(
        self,
        connection: sa.Connection,
        table: sa.Table,
        columns: Sequence[str],
        lines: str,
        constants: Mapping[str, Any],
    ) -> None:
        """Make VALUES of the lines by replacing tabs and newlines.

        PyMySQL takes 30 us to put a row of parameters into a statement, ten times as
        long as the server takes for the rest. Not INSERT ... SELECT from one parameter
        (JSON_TABLE): with innodb_autoinc_lock_mode = 1, MariaDB's default, that keeps
        every other INSERT out of the table until it is done.
        """
        names = ", ".join([*columns, *constants])
        same = "".join(f",'{value}'" for value in constants.values())
        rows = lines.split("\n")
        for start in range(0, len(rows), LINES):
            some = f"'{same}),('".join(rows[start : start + LINES])
            values = some.replace("\t", "','")
            connection.exec_driver_sql(
                f"INSERT INTO {table.name} ({names}) "  # noqa: S608 - no odd characters
                f"VALUES ('{values}'{same})"
            )

    def fault(self, error: BaseException) -> Fault:
        """Return what *error* means; PyMySQL gives TLS the code of an absent server."""
        cause = getattr(driver_error(error), "original_exception", None)
        cut = isinstance(cause, (ssl.SSLEOFError, ssl.SSLZeroReturnError))
        if isinstance(cause, ssl.SSLError) and not cut:
            return Fault.TLS
        return super().fault(error)

    def explain(self, error: Exception, url: sa.URL) -> str | None:
        """Name the argument, file or package that PyMySQL's error does not name."""
        return mysql_driver.explain(error, url)

    def code(self, error: BaseException) -> Any:
        """Return the server's or client library's number."""
        return error.args[0] if error.args else None
