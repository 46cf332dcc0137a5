"""Describe MariaDB and MySQL."""

from __future__ import annotations

import importlib
import json
import ssl
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations.databases import arguments, codes, mysql_driver, mysql_limits
from cellmap_migrations.databases.base import Backend, driver_error, has_few_pairs
from cellmap_migrations.databases.codes import Fault
from cellmap_migrations.databases.mysql_status import MySQLStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cellmap_migrations.databases.base import Change, Version

UNSIGNED = sa.Numeric(20, 0)

# Lines in a statement: some 0.8 MB, where a server may take no more than 4 MB.
LINES = 5_000

# The first versions with JSON_TABLE.
JSON_TABLE: dict[str, Version] = {"MariaDB": (10, 6), "MySQL": (8, 0, 4)}


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

    def update_rows(
        self,
        connection: sa.Connection,
        column: sa.Column[Any],
        changes: Sequence[Change],
        where: Mapping[str, Any],
    ) -> int:
        """Join the table with a JSON_TABLE, if the server has it.

        The old text is compared byte by byte, in one collation: the server refuses to
        compare columns of two collations.
        """
        name, version = self.server(connection.connection)
        if has_few_pairs(changes) or version < JSON_TABLE[name]:
            return super().update_rows(connection, column, changes, where)
        table, value, old = column.table.name, "BIGINT", column.name
        if isinstance(column.type, sa.String):
            value = "VARCHAR(1000) CHARACTER SET utf8mb4"
            old = f"CONVERT({column.name} USING utf8mb4) COLLATE utf8mb4_bin"
        conditions = "".join(f" AND {name} = %s" for name in where)
        result = connection.exec_driver_sql(
            f"UPDATE {table}, JSON_TABLE(%s, '$[*]' COLUMNS "  # noqa: S608 - names of this package's
            "(changed_id BIGINT PATH '$[0]' ERROR ON ERROR, "
            f"old_value {value} PATH '$[1]' ERROR ON ERROR, "
            f"new_value {value} PATH '$[2]' ERROR ON ERROR)) AS changes "
            f"SET {column.name} = new_value "
            f"WHERE id = changed_id AND {old} <=> old_value{conditions}",
            (json.dumps(changes, ensure_ascii=False), *where.values()),
        )
        return result.rowcount

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
