"""Settings of MariaDB and MySQL that only a session can have, and who may set them."""

from __future__ import annotations

import re
from typing import Any

# The limit on an answer, which each of the two has by a name of its own: 30 s.
MARIADB, MYSQL = "max_statement_time", "max_execution_time"
# Through a load balancer each connection may be to another node of Galera, which
# applies what others have committed some moments later, unless it is told to wait:
# before SELECT and START TRANSACTION (1), and INSERT (4), whose table another node may
# just have created. Not before UPDATE and DELETE (2): they follow a SELECT on their
# connection, and certification refuses them where a row was changed since.
SYNC, SYNC_WAIT = "wsrep_sync_wait", f"{1 | 4}"
# No statement can say these, so they are set only where no pooler is in between.
# MariaDB's is for clients that are frozen: to idle_write_transaction_timeout a SELECT
# ... FOR UPDATE is no write. COMMIT waits for locks, too. MySQL takes hints for no
# variable of InnoDB, and for none in START TRANSACTION.
OF_SESSION = {
    MARIADB: {"idle_transaction_timeout": "5", "lock_wait_timeout": "1"},
    MYSQL: {"innodb_lock_wait_timeout": "1", SYNC: SYNC_WAIT},
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
