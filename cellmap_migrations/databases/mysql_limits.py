"""Bound how long statements take on MariaDB and MySQL, without session state."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations.databases.options import READING, STATUS, autocommits

if TYPE_CHECKING:
    from collections.abc import Mapping


# The limit on an answer, which each of the two has by a name of its own: 30 s.
MARIADB, MYSQL = "max_statement_time", "max_execution_time"

# Through a load balancer each connection may be to another node of Galera, which
# applies what others have committed some moments later, unless it is told to wait:
# before SELECT and START TRANSACTION (1), and INSERT (4), whose table another node may
# just have created. Not before UPDATE and DELETE (2): they follow a SELECT on their
# connection, and certification refuses them where a row was changed since.
SYNC, SYNC_WAIT = "wsrep_sync_wait", f"{1 | 4}"

# The same for MySQL's Group Replication: each transaction first waits until the member
# has applied the transactions that were committed before it. No hint can say this.
GROUP_SYNC = "group_replication_consistency"

# No statement can say these, so they are set only where no pooler is in between.
# MariaDB's is for clients that are frozen: to idle_write_transaction_timeout a SELECT
# ... FOR UPDATE is no write. COMMIT waits for locks, too. MySQL takes hints for no
# variable of InnoDB, and for none in START TRANSACTION.
OF_SESSION = {
    MARIADB: {"idle_transaction_timeout": "5", "lock_wait_timeout": "1"},
    MYSQL: {
        "innodb_lock_wait_timeout": "1",
        SYNC: SYNC_WAIT,
        GROUP_SYNC: "'BEFORE'",
    },
}

# Older servers take no settings for one statement.
SINCE = {MARIADB: (10, 2, 3), MYSQL: (8, 0, 3)}

VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:-MariaDB|$|-(?!\d))")


def is_too_old(driver: Any, kind: str) -> bool:
    """Return True if the server of *driver* takes no settings for one statement."""
    found = VERSION.search(str(driver.get_server_info()))
    return found is not None and tuple(map(int, found.groups())) < SINCE[kind]


def is_direct(driver: Any, cursor: Any) -> bool:
    """Return True if the server that answers has also made the handshake.

    A pooler makes a handshake of its own. ProxySQL answers CONNECTION_ID() itself.
    """
    cursor.execute("SELECT @@pseudo_thread_id, @@version")
    number, version = cursor.fetchone()
    greeted = str(driver.get_server_info())
    return bool(number == driver.thread_id() and greeted.endswith(version))


LIMITS = {
    # For a lock on a whole table, which a server waits for a day by default.
    "lock_wait_timeout": "1",
    # What GROUP_CONCAT may return: 16 MiB. MariaDB's default is 1 MiB, MySQL's 1 KiB.
    "group_concat_max_len": f"{16 << 20}",
    "time_zone": "'+00:00'",
}

MARIADB_LIMITS = {"innodb_lock_wait_timeout": "1", MARIADB: "30"}

MYSQL_LIMIT = "MAX_EXECUTION_TIME(30000)"

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
        self.too_old = False

    def connected(self, driver: Any, _: Any) -> None:
        """Ask once which variables the server has. Set those of a session if allowed.

        PyMySQL sends the same SET NAMES and SET AUTOCOMMIT for nova.
        """
        with driver.cursor() as cursor:
            if self.known is None:
                cursor.execute(KNOWN)
                self.known = dict(cursor.fetchall())
            for name, value in self.of_session(driver, cursor).items():
                cursor.execute(f"SET SESSION {name} = {value}")

    def of_session(self, driver: Any, cursor: Any) -> dict[str, str]:
        """Return the variables of a new session, and their values in SQL.

        Behind a pooler only the sql_mode that nova's driver sets as well, and that for
        a server which is too old to take it with a statement.
        """
        known, direct = self.known or {}, is_direct(driver, cursor)
        kind = MARIADB if MARIADB in known else MYSQL
        self.too_old = is_too_old(driver, kind)
        settings = OF_SESSION[kind] if direct else {}
        settings = {name: settings[name] for name in known.keys() & settings.keys()}
        if self.too_old and direct:
            settings |= {"innodb_lock_wait_timeout": "1", **self.settings()}
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
        # A node of Galera that is not ready takes SHOW, and no START TRANSACTION.
        if autocommits(connection) or reading == STATUS:
            return
        if read_only or reading:
            # In a transaction a node waits before no SELECT, so it has to wait here.
            connection.exec_driver_sql(f"{limits.prefix()}START TRANSACTION READ ONLY")
