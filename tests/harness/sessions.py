"""Read from a server who is connected to one of its databases."""

import time
from dataclasses import dataclass

import sqlalchemy as sa

from cellmap_migrations.testing.servers import Server

MARIADB = """
SELECT p.id,
       TIMESTAMPDIFF(MICROSECOND, t.trx_started, SYSDATE(6)) / 1e6,
       COALESCE(t.trx_state = 'LOCK WAIT', 0)
       OR p.state = 'Waiting for table metadata lock'
  FROM information_schema.processlist p
  LEFT JOIN information_schema.innodb_trx t ON t.trx_mysql_thread_id = p.id
 WHERE p.db = %(name)s AND p.id <> CONNECTION_ID()
"""

POSTGRESQL = """
SELECT pid,
       EXTRACT(EPOCH FROM clock_timestamp() - xact_start),
       COALESCE(wait_event_type = 'Lock', false)
  FROM pg_stat_activity
 WHERE datname = %(name)s AND pid <> pg_backend_pid()
   AND backend_type = 'client backend'
"""

LISTING = {"mysql": MARIADB, "postgresql": POSTGRESQL}

# MariaDB shows who asks more often the same transactions again and again.
CACHED = {"mysql": 0.11, "postgresql": 0.0}

END = {"mysql": "KILL {}", "postgresql": "SELECT pg_terminate_backend({})"}


@dataclass(frozen=True, kw_only=True)
class Session:
    """Hold a connection; *seconds* is the age of its transaction, None without one."""

    number: int
    seconds: float | None
    blocked: bool


class Sessions:
    """Read, as the administrator, the connections to the database at *url*."""

    def __init__(self, server: Server, url: sa.URL) -> None:
        self.engine, self.database = server.admin(), url.database
        self.backend = url.get_backend_name()

    def all(self) -> list[Session]:
        """Return the connections there are now."""
        time.sleep(CACHED[self.backend])
        with self.engine.connect() as connection:
            rows = connection.exec_driver_sql(
                LISTING[self.backend], {"name": self.database}
            ).all()
        return [
            Session(
                number=row[0],
                seconds=None if row[1] is None else float(row[1]),
                blocked=bool(row[2]),
            )
            for row in rows
        ]

    def blocked(self) -> bool:
        """Return True if a session waits for a lock."""
        return any(session.blocked for session in self.all())

    def end_all(self) -> int:
        """Cut every connection, and return how many there were."""
        found = self.all()
        with self.engine.connect() as connection:
            for session in found:
                connection.exec_driver_sql(END[self.backend].format(session.number))
        return len(found)
