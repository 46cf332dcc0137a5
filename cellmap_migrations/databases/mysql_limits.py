"""Bound how long statements take on MariaDB and MySQL, without session state."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations.databases.base import READING, STATUS, autocommits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cellmap_migrations.databases.base import Version


# The limit on an answer, which each of the two has by a name of its own: 30 s.
MARIADB, MYSQL = "max_statement_time", "max_execution_time"

# Through a load balancer each connection may be to another node of Galera, which
# applies what others have committed some moments later, unless it is told to wait:
# before SELECT and START TRANSACTION (1), and INSERT (4), whose table another node may
# just have created. Not before UPDATE and DELETE (2): they follow a SELECT on their
# connection, and certification refuses them where a row was changed since.
SYNC, SYNC_WAIT = "wsrep_sync_wait", f"{1 | 4}"

# The same for Group Replication of MySQL: each transaction waits until the member has
# applied the transactions that were committed before.
GROUP_SYNC = "group_replication_consistency"

# How many seconds a client may be frozen in a transaction. MySQL knows only idle
# sessions, so its limit is set while a transaction is open.
IDLE = {MARIADB: "idle_transaction_timeout", MYSQL: "wait_timeout"}

IDLE_SECONDS = "5"

# No statement can say these, so they are set only where no pooler is in between.
# To idle_write_transaction_timeout of MariaDB a SELECT ... FOR UPDATE is no write.
# COMMIT waits for locks, too. MySQL takes hints for no variable of InnoDB, and for none
# in START TRANSACTION.
OF_SESSION = {
    MARIADB: {IDLE[MARIADB]: IDLE_SECONDS, "lock_wait_timeout": "1"},
    MYSQL: {
        "innodb_lock_wait_timeout": "1",
        "lock_wait_timeout": "1",
        SYNC: SYNC_WAIT,
        GROUP_SYNC: "'BEFORE'",
    },
}

# In SQL, the value that the server has for all sessions.
DEFAULT = "DEFAULT"

# Older servers take no settings for one statement: EXECUTE IMMEDIATE, and SET_VAR.
SINCE: dict[str, Version] = {"MariaDB": (10, 2, 3), "MySQL": (8, 0, 3)}

# The first with max_statement_time, and with START TRANSACTION READ ONLY.
OLDEST: dict[str, Version] = {"MariaDB": (10, 1, 1), "MySQL": (5, 6, 5)}

VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")


def server(version: str) -> tuple[str, Version]:
    """Return the name and the numbers of the server whose ``@@version`` is *version*.

    Distributions append numbers of their own: 5.7.33-0ubuntu0.16.04.1.
    """
    found = VERSION.match(version)
    numbers = tuple(map(int, found.groups())) if found else ()
    return "MariaDB" if "MariaDB" in version else "MySQL", numbers


# The key of the session's number and version in the pool's data of a connection.
SESSION = "cellmap_session"


def query_session(entry: sa.pool.ManagesConnection) -> tuple[int, str]:
    """Return the number of the session and the version of the server.

    Queries the server once for each connection. Not CONNECTION_ID(), which ProxySQL
    answers itself.
    """
    driver: Any = entry.driver_connection
    if SESSION not in entry.info:
        with driver.cursor() as cursor:
            cursor.execute("SELECT @@pseudo_thread_id, @@version")
            entry.info[SESSION] = cursor.fetchone()
    number, version = entry.info[SESSION]
    return number, version


def is_direct(driver: Any, number: int, version: str) -> bool:
    """Return True if the server with this answer has also made the handshake.

    A pooler makes a handshake of its own.
    """
    greeted = str(driver.get_server_info())
    return bool(number == driver.thread_id() and greeted.endswith(version))


LIMITS = {
    # For a lock on a whole table, which a server waits for a day by default.
    "lock_wait_timeout": "1",
    # Bytes of the longest result of GROUP_CONCAT: 16 MiB. MariaDB's default is 1 MiB,
    # and MySQL's is 1 KiB.
    "group_concat_max_len": f"{16 << 20}",
    "time_zone": "'+00:00'",
}

# Seconds, and milliseconds.
ANSWER = {MARIADB: "30", MYSQL: "30000"}

MARIADB_LIMITS = {"innodb_lock_wait_timeout": "1", MARIADB: ANSWER[MARIADB]}

MYSQL_LIMIT = f"MAX_EXECUTION_TIME({ANSWER[MYSQL]})"

LOG = ("log_bin", "binlog_format")

NAMES = [MARIADB, MYSQL, "sql_mode", *LOG, *OF_SESSION[MARIADB], *OF_SESSION[MYSQL]]

KNOWN = f"SHOW VARIABLES WHERE Variable_name IN {tuple(NAMES)}"

# SQLAlchemy and the driver write statements for these modes of the server.
NO_BACKSLASHES = "NO_BACKSLASH_ESCAPES"

LEXICAL = ("ANSI_QUOTES", NO_BACKSLASHES)

READS = re.compile(r"\s*(SELECT|DESCRIBE|SHOW CREATE)\b")

WRITES = re.compile(r"\s*(INSERT|UPDATE|DELETE|CREATE TABLE)\b")

HINTED = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE)\b")


class Limits:
    """Add limits to each statement of one engine."""

    def __init__(self) -> None:
        self.known: Mapping[str, str] | None = None
        self.version = ""
        self.too_old = False

    def connected(self, driver: Any, record: sa.pool.ConnectionPoolEntry) -> None:
        """Ask once which variables the server has. Set those of a session if allowed.

        PyMySQL sends the same SET NAMES and SET AUTOCOMMIT for nova.
        """
        number, self.version = query_session(record)
        direct = is_direct(driver, number, self.version)
        with driver.cursor() as cursor:
            if self.known is None:
                cursor.execute(KNOWN)
                self.known = dict(cursor.fetchall())
            for name, value in self.of_session(direct=direct).items():
                cursor.execute(f"SET SESSION {name} = {value}")
        if direct and MARIADB not in self.known:
            record.info[IDLE[MYSQL]] = DEFAULT

    def bound_idling(self, connection: sa.Connection, seconds: str) -> None:
        """Let MySQL end the session of *connection* when it is idle for *seconds*.

        A session in the pool keeps the limit of its last transaction: the next one
        then needs no statement to set it, and the pool replaces a session that ended.
        """
        name = IDLE[MYSQL]
        if connection.info.get(name, seconds) != seconds:
            connection.exec_driver_sql(f"SET SESSION {name} = {seconds}")
            connection.info[name] = seconds

    def of_session(self, *, direct: bool) -> dict[str, str]:
        """Return the variables of a new session, and their values in SQL.

        Behind a pooler only the sql_mode that nova's driver sets as well, and that for
        a server which is too old to take it with a statement.
        """
        known = self.known or {}
        kind = MARIADB if MARIADB in known else MYSQL
        name, version = server(self.version)
        self.too_old = bool(version) and version < SINCE[name]
        settings = OF_SESSION[kind] if direct else {}
        settings = {name: settings[name] for name in known.keys() & settings.keys()}
        if self.too_old and direct:
            settings |= {"innodb_lock_wait_timeout": "1", **self.settings()}
            settings |= {name: ANSWER[name] for name in ANSWER.keys() & known.keys()}
        elif self.too_old:
            settings["sql_mode"] = self.settings()["sql_mode"]
        return settings

    def settings(self) -> dict[str, str]:
        """Return the variables of each statement, and their values in SQL."""
        known = self.known or {}
        modes = [mode for mode in LEXICAL if mode in known.get("sql_mode", "")]
        found = {**LIMITS, "sql_mode": f"'{','.join(['TRADITIONAL', *modes])}'"}
        return {**found, SYNC: SYNC_WAIT} if SYNC in known else found

    def said(self, cursor: Any, statement: str, parameters: Any) -> tuple[str, Any]:
        """Return *statement* with its limits, and its parameters."""
        if self.too_old:
            return statement, parameters
        if MARIADB not in (self.known or {}):
            return self.hinted(statement), parameters
        writes = WRITES.match(statement)
        if writes and (writes[1] == "CREATE TABLE" or self.logs_statements()):
            text = self.quoted(cursor.mogrify(statement, parameters))
            # MariaDB logs SET STATEMENT with a statement, and not with one that is
            # executed immediately. A replica would apply the limits to itself and stop
            # after some lock waits of 1 s.
            return f"{self.prefix()}EXECUTE IMMEDIATE {text}".replace("%", "%%"), ()
        if writes or READS.match(statement):
            return self.prefix() + statement, parameters
        return statement, parameters

    def logs_statements(self) -> bool:
        """Return True if the binary log may have statements that write rows.

        EXECUTE IMMEDIATE takes a sixth longer for many rows. A log of rows has only
        CREATE TABLE as a statement, and so have the write sets of Galera.
        """
        log, form = (str((self.known or {}).get(name)) for name in LOG)
        return log == "ON" and form != "ROW"

    def quoted(self, text: str) -> str:
        """Return a literal, which PyMySQL takes ten times as long to make."""
        if NO_BACKSLASHES not in (self.known or {}).get("sql_mode", ""):
            text = text.replace("\\", "\\\\")
        return "'" + text.replace("'", "''") + "'"

    def prefix(self) -> str:
        """Return the SET STATEMENT of MariaDB, or nothing for MySQL.

        It is in a comment that only MariaDB executes. ProxySQL takes SET STATEMENT for
        a SET, and locks the client's connection to one host group.
        """
        if self.too_old or not self.known or MARIADB not in self.known:
            return ""
        settings = {**self.settings(), **MARIADB_LIMITS}
        said = ", ".join(f"{name}={value}" for name, value in settings.items())
        return f"/*M!100203 SET STATEMENT {said} FOR */ "

    def hinted(self, statement: str) -> str:
        """Return *statement* with its limits as hints of MySQL."""
        found = HINTED.match(statement)
        if not found:
            return statement
        hints = [f"SET_VAR({name}={value})" for name, value in self.settings().items()]
        if found[1] == "SELECT":
            hints.append(MYSQL_LIMIT)
        end = found.end()
        return f"{statement[:end]} /*+ {' '.join(hints)} */{statement[end:]}"


def limit(engine: sa.Engine, *, read_only: bool) -> None:
    """Add limits to each statement of *engine*.

    The server refuses writes in the transactions of a *read_only* engine.
    """
    limits = Limits()
    # First: SQLAlchemy asks a new session about itself.
    sa.event.listen(engine, "connect", limits.connected, insert=True)

    @sa.event.listens_for(engine, "before_cursor_execute", retval=True)
    def before(
        _: Any, cursor: Any, statement: str, parameters: Any, *__: Any
    ) -> tuple[str, Any]:
        return limits.said(cursor, statement, parameters)

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        reading = connection.get_execution_options().get(READING)
        if autocommits(connection):
            limits.bound_idling(connection, DEFAULT)
            return
        # A node of Galera that is not ready takes SHOW, and no START TRANSACTION.
        if reading == STATUS:
            return
        limits.bound_idling(connection, IDLE_SECONDS)
        if read_only or reading:
            # In a transaction a node waits before no SELECT, so it has to wait here.
            connection.exec_driver_sql(f"{limits.prefix()}START TRANSACTION READ ONLY")
