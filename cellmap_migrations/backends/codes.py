"""What errors mean, and the codes of those that may pass."""

from __future__ import annotations

from enum import Enum


class Fault(Enum):
    """What an error of a database means for the work in hand."""

    AGAIN = "the same transaction may succeed if it is run again"
    DATA = "a row of it was refused"
    LOGIN = "user or password is wrong"
    RIGHTS = "the user lacks a privilege"
    HIDDEN = "the user may not even know whether there is such a database"
    MISSING = "there is no such database"
    POOLING = "a pooler in between refuses transactions"
    OTHER = "anything else"


# PEP 249 gives every driver classes of these names for a row that it or the server
# does not take. oslo.db and SQLAlchemy wrap some of them as plain errors.
DATA_ERRORS = frozenset({"DataError", "IntegrityError"})

# Numbers of MariaDB, MySQL and their client library.
MYSQL_AGAIN = frozenset(
    {
        3,  # a file cannot be written: the disk of the binary log is full
        1020,  # record changed since it was read (MariaDB snapshot isolation)
        1021,  # disk full
        1026,  # what 3 is to the layer above
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

# SQLSTATEs.
POSTGRESQL_AGAIN = frozenset(
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
