"""MariaDB and MySQL, a Galera cluster of them included."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations.backends.base import Backend

if TYPE_CHECKING:
    from collections.abc import Callable

UNSIGNED = sa.Numeric(20, 0)


class MySQL(Backend):
    """Through PyMySQL; error codes are the server's numbers."""

    port = 3306
    drivernames = ("mysql+pymysql", "mysql+mysqldb")
    # "mysql" means mysqldb to SQLAlchemy; nova's own documentation writes pymysql.
    quietly = ("mariadb+pymysql",)
    package = "PyMySQL"
    again = frozenset(
        {
            1020,  # record changed since it was read (MariaDB snapshot isolation)
            1021,  # disk full
            1040,  # too many connections
            1041,  # out of memory
            1047,  # WSREP has not yet prepared this node
            1053,  # server shutdown in progress
            1114,  # table is full, which InnoDB also says of a full disk
            1129,  # host blocked after many broken connections
            1158,  # communication errors, 1158 to 1161
            1159,
            1160,
            1161,
            1180,  # error during COMMIT: Galera's certification may end so
            1203,  # max_user_connections
            1205,  # lock wait timeout
            1206,  # lock table full
            1213,  # deadlock; Galera's certification failure, also at COMMIT
            1290,  # the server is read only: a failover in progress
            1317,  # query interrupted
            1412,  # table definition changed in this transaction
            1836,  # running in read-only mode
            1927,  # connection was killed
            1969,  # max_statement_time
            2002,  # socket
            2003,  # cannot connect
            2006,  # server has gone away
            2013,  # lost connection during query
            2014,  # commands out of sync, after an interrupted answer
            2055,  # lost connection, with the system's reason
            3024,  # MySQL's max_execution_time
            3101,  # group replication rolled the transaction back
            4031,  # disconnected after inactivity
        }
    )
    login = frozenset({1045, 1698})
    rights = frozenset({1044, 1142, 1143, 1227, 1370, 1410})
    missing = frozenset({1049})
    data = frozenset(
        {
            1644,  # SIGNAL in a trigger
            3819,  # MySQL's CHECK constraint
            4025,  # MariaDB's CHECK constraint
        }
    )

    def bounded(self, url: sa.URL) -> sa.URL:
        """Let a connection attempt take 5 s and an answer 30 s."""
        limits = {"connect_timeout": "5", "read_timeout": "30", "write_timeout": "30"}
        return url.update_query_dict({**limits, **url.query})

    def session(self, *, read_only: bool) -> Callable[[Any, Any], None]:
        """Bound lock waits, and the life of a transaction whose client was frozen."""
        statements = ["SET SESSION innodb_lock_wait_timeout = 1"]
        if read_only:
            statements.append("SET SESSION TRANSACTION READ ONLY")

        def limit(connection: Any, _: Any) -> None:
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
                if "MariaDB" in connection.get_server_info():
                    cursor.execute("SET SESSION idle_write_transaction_timeout = 5")

        return limit

    def checksum(self, text: sa.ColumnElement[str]) -> sa.ColumnElement[Any]:
        """Add up the first 15 hex digits of each MD5."""
        digits = sa.func.conv(sa.func.left(sa.func.md5(text), 15), 16, 10)
        return sa.func.sum(sa.cast(digits, UNSIGNED))

    def code(self, error: BaseException) -> Any:
        """Return the server's or client library's number."""
        return error.args[0] if error.args else None

    def fold(self, uuid: str) -> str:
        """Ignore case and trailing spaces, as nova's collation utf8_general_ci does."""
        return uuid.rstrip(" ").lower()
