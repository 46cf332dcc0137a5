"""List the error codes of each server by their meaning."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import ReflectedColumn


class Fault(Enum):
    """Classify an error of a database by the reaction that it requires."""

    TRANSIENT = "the same transaction may succeed if it is run again"
    DATA = "a row of it was refused"
    LOGIN = "user or password is wrong"
    ACCOUNT = "the user is locked, or must have a new password first"
    HOST = "the user may not log in from this host"
    METHOD = "driver and server have no authentication method in common"
    TLS = "driver and server cannot agree on TLS"
    ARGUMENT = "the server or the driver refuses an argument of the URL"
    RIGHTS = "the user lacks a privilege"
    HIDDEN = "the user lacks the right to see whether the database exists"
    MISSING = "there is no such database"
    POOLING = "a pooler in between refuses transactions"
    OTHER = "anything else"


# PEP 249 gives every driver these classes, for a row that the driver or the server
# refuses. oslo.db and SQLAlchemy wrap some of them in a general error.
DATA_ERRORS = frozenset({"DataError", "IntegrityError"})

# Numbers of MariaDB, MySQL and their client library.
MYSQL_TRANSIENT = frozenset(
    {
        3,  # a file cannot be written: the disk of the binary log is full
        1020,  # record changed since it was read (MariaDB snapshot isolation)
        1021,  # disk full
        1026,  # error writing a file, as 3, from the server's upper layer
        1037,  # out of memory
        1040,  # too many connections
        1041,  # out of memory
        1042,  # the server cannot look up the name of this host
        1047,  # WSREP has not yet prepared this node
        1053,  # server shutdown in progress
        1114,  # table is full, which InnoDB also says of a full disk
        1129,  # host blocked after many broken connections
        1135,  # no thread for the connection
        1158,  # communication errors, 1158 to 1161
        1159,
        1160,
        1161,
        1180,  # error during COMMIT: Galera's certification may end so
        1203,  # max_user_connections
        1205,  # lock wait timeout
        1206,  # lock table full
        1213,  # deadlock; Galera's certification failure, also at COMMIT
        1226,  # max_connections_per_hour, max_queries_per_hour
        1290,  # the server is read only: a failover in progress
        1317,  # query interrupted
        1412,  # table definition changed in this transaction
        1792,  # the server's default is transaction_read_only=ON
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
        3032,  # offline mode
        3100,  # group replication refused the transaction: a member is leaving
        3101,  # group replication rolled the transaction back
        3168,  # MySQL: server is not available
        3169,  # MySQL: session was killed
        3781,  # group replication: the backlog of a new primary took too long
        3782,  # the same wait was ended by KILL
        3783,  # the same wait ended because the member left
        3796,  # group replication: the member is not online
        3797,  # group replication: waiting for earlier transactions failed
        3798,  # the same, at the first statement
        3799,  # group replication: no new transaction, because the member leaves
        3989,  # MySQL: ALTER DATABASE ... READ ONLY = 1
        4031,  # disconnected after inactivity
        6400,  # MySQL 9: offline mode, with its reason, such as having left the group
    }
)

# Another attempt cannot correct these. From 3000 on, MariaDB and MySQL differ.
MYSQL_REFUSED = {
    1044: Fault.HIDDEN,  # no right to the database
    1045: Fault.LOGIN,  # also where an account needs TLS
    1049: Fault.MISSING,  # unknown database
    1102: Fault.MISSING,  # incorrect database name
    1115: Fault.ARGUMENT,  # unknown character set
    1130: Fault.HOST,  # no account for this host
    1142: Fault.RIGHTS,  # a table
    1143: Fault.RIGHTS,  # a column
    1193: Fault.ARGUMENT,  # unknown system variable, in init_command
    1227: Fault.RIGHTS,  # a global privilege
    1231: Fault.ARGUMENT,  # value that a variable cannot have, such as an sql_mode
    1251: Fault.METHOD,  # the client lacks the account's method
    1253: Fault.ARGUMENT,  # collation of another character set
    1273: Fault.ARGUMENT,  # unknown collation
    1275: Fault.METHOD,  # password in the format of before 4.1
    1370: Fault.RIGHTS,  # a routine
    1410: Fault.RIGHTS,  # GRANT for a user that does not exist
    1524: Fault.METHOD,  # the server lacks the account's plugin
    1698: Fault.LOGIN,  # of an account without a password
    1820: Fault.ACCOUNT,  # password expired: the first statement is refused
    1862: Fault.ACCOUNT,  # password expired: the login is refused
    1873: Fault.LOGIN,  # a proxy changes the user
    2012: Fault.METHOD,  # client: handshake
    2026: Fault.TLS,  # client: the server has no TLS
    2049: Fault.METHOD,  # client: password in the format of before 4.1
    2059: Fault.METHOD,  # client: it lacks the account's plugin
    2061: Fault.METHOD,  # client: the plugin failed
    3118: Fault.ACCOUNT,  # MySQL: locked
    3159: Fault.TLS,  # require_secure_transport (MySQL, MariaDB 11.4)
    3879: Fault.HIDDEN,  # MySQL: 1044 for a role
    3955: Fault.ACCOUNT,  # MySQL: locked for some days after failed logins
    4055: Fault.METHOD,  # MySQL: the account's plugin needs a registration
    4150: Fault.ACCOUNT,  # MariaDB: max_password_errors
    4151: Fault.ACCOUNT,  # MariaDB: locked
}

# SQLSTATEs.
POSTGRESQL_TRANSIENT = frozenset(
    {
        "08000",  # connection exceptions
        "08001",
        "08003",
        "08004",
        "08006",
        "08P01",  # PgBouncer's own, such as that of query_wait_timeout
        "25006",  # read only: a failover in progress
        "25P03",  # idle in transaction for too long
        "40001",  # serialization failure
        "40P01",  # deadlock
        "53000",  # insufficient resources
        "53100",  # disk full
        "53200",  # out of memory
        "53300",  # too many connections
        "55P03",  # lock not available within lock_timeout
        "57014",  # query canceled, or statement_timeout
        "57P01",  # terminated by the administrator
        "57P02",  # crash of another backend
        "57P03",  # starting up, shutting down
        "57P05",  # idle session for too long
        "58030",  # input/output error
    }
)

# psycopg gives a refused login no SQLSTATE, only its message.
POSTGRESQL_REFUSED = {
    "28000": Fault.LOGIN,  # invalid authorization specification
    "28P01": Fault.LOGIN,  # invalid password
    "3D000": Fault.MISSING,  # no such database
    "42501": Fault.RIGHTS,  # insufficient privilege
}

# Primary result codes: PERM, READONLY and AUTH; CANTOPEN and NOTADB.
SQLITE_REFUSED = {
    **dict.fromkeys((3, 8, 23), Fault.RIGHTS),
    **dict.fromkeys((14, 26), Fault.MISSING),
}


@dataclass(frozen=True, kw_only=True)
class Refusals:
    """Hold codes of INSERTs that a table refuses, and SQL to correct the table."""

    # A NOT NULL column without a default got no value.
    not_null: frozenset[Any] = frozenset()
    # The server has no further value for the id.
    exhausted: frozenset[Any] = frozenset()
    # A value is too large or a duplicate. It is the id if no other column can cause it.
    unusable: frozenset[Any] = frozenset()
    # The source of the id's values, and SQL that returns the source's name.
    id_source: str = ""
    id_source_query: str = ""
    # SQL that gives the id a default, continues after max(id), or widens its type.
    add_default: str = ""
    set_next: str = ""
    widen_id: str = ""
    # True if an INTEGER PRIMARY KEY needs no default.
    key_has_default: bool = False

    def may_omit(self, column: ReflectedColumn) -> bool:
        """Return True if an INSERT may omit *column*."""
        if column["nullable"] or column.get("autoincrement") is True:
            return True
        if any(column.get(given) for given in ("default", "identity", "computed")):
            return True
        key = self.key_has_default and bool(column.get("primary_key"))
        return key and isinstance(column["type"], sa.Integer)


def constraint(error: BaseException) -> str | None:
    """Return the name of the violated constraint; only psycopg has it."""
    found: str | None = getattr(getattr(error, "diag", None), "constraint_name", None)
    return found


MYSQL = Refusals(
    not_null=frozenset({1364}),
    exhausted=frozenset({167, 1467}),
    unusable=frozenset({1062, 1264}),
    id_source="AUTO_INCREMENT",
    add_default="ALTER TABLE instance_mappings MODIFY id INTEGER NOT NULL "
    "AUTO_INCREMENT;",
    set_next="ALTER TABLE instance_mappings AUTO_INCREMENT = 1;",
    widen_id="ALTER TABLE instance_mappings MODIFY id BIGINT NOT NULL AUTO_INCREMENT;",
)

NEXT = (
    "SELECT setval(pg_get_serial_sequence('instance_mappings', 'id'), "
    "(SELECT max(id) FROM instance_mappings));"
)

POSTGRESQL = Refusals(
    not_null=frozenset({"23502"}),
    exhausted=frozenset({"2200H"}),
    unusable=frozenset({"22003"}),
    id_source="the sequence",
    id_source_query="SELECT pg_get_serial_sequence('instance_mappings', 'id')",
    # pg_get_serial_sequence() would return the old sequence and not the new one.
    add_default="DROP SEQUENCE IF EXISTS instance_mappings_id_seq; "
    "ALTER TABLE instance_mappings ALTER id ADD GENERATED BY DEFAULT AS IDENTITY; "
    f"{NEXT}",
    set_next=NEXT,
    widen_id="ALTER TABLE instance_mappings ALTER id TYPE BIGINT; "
    "ALTER SEQUENCE instance_mappings_id_seq AS BIGINT;",
)

# 19 (CONSTRAINT) is the code of every violated constraint.
SQLITE = Refusals(not_null=frozenset({19}), key_has_default=True)
