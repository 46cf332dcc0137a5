"""Query the load of PostgreSQL, and the lag of its standbys."""

from __future__ import annotations

import sqlalchemy as sa

from cellmap_migrations.databases.status import (
    Identity,
    Replication,
    RightMissing,
    Status,
    Unmeasurable,
)

# A member of pg_read_all_stats, which makes the columns of other sessions visible.
RIGHT = "pg_monitor"

PRIVILEGED = sa.text("SELECT pg_has_role('pg_read_all_stats', 'USAGE')")

ACTIVE = sa.text(
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE state = 'active' AND backend_type = 'client backend'"
)

STANDBYS = sa.text(
    "SELECT DISTINCT application_name FROM pg_stat_replication ORDER BY 1"
)

# Standbys may share a name, as in a synchronous group. The slowest of them counts.
STANDBY = sa.text(
    "SELECT EXTRACT(EPOCH FROM max(replay_lag)),"
    " pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0'),"
    " pg_wal_lsn_diff(min(replay_lsn), '0/0')"
    " FROM pg_stat_replication"
    " WHERE application_name = :name AND replay_lsn IS NOT NULL"
)

# The next number of a transaction, which only those that write use up. Newer releases
# have other names as well, and these since before PostgreSQL 11.
NEXT = sa.text("SELECT txid_snapshot_xmax(txid_current_snapshot())")

# Every role may call it unless an administrator revoked that. A physical copy has the
# same system identifier, but another start time.
MAY_IDENTIFY = sa.text(
    "SELECT has_function_privilege('pg_control_system()', 'EXECUTE')"
)

SYSTEM = sa.text("SELECT system_identifier FROM pg_control_system()")

# The schema of the table, which may differ from the first of search_path.
HERE = sa.text(
    "SELECT current_database(),"
    " coalesce((SELECT relnamespace::regnamespace::text FROM pg_class"
    " WHERE oid = to_regclass('instances')), current_schema()),"
    " EXTRACT(EPOCH FROM pg_postmaster_start_time())"
)


class PostgreSQLStatus(Status):
    """Query the statistics views. The primary also knows the lag of its standbys."""

    def identity(self, connection: sa.Connection) -> Identity:
        """Return the system identifier, the database and the schema of the tables."""
        may = connection.scalar(MAY_IDENTIFY)
        system = connection.scalar(SYSTEM) if may else "without an identifier"
        database, schema, started = connection.execute(HERE).one()
        name = f"PostgreSQL {system}, {database}.{schema}"
        return Identity(name=name, key=f"{name} {started}")

    def running(self, connection: sa.Connection) -> int:
        """Return the number of sessions that run a statement."""
        require_right(connection)
        return int(connection.scalar(ACTIVE) or 0)

    def commits(self, connection: sa.Connection) -> int:
        """Return the next number of a transaction, in all databases of the server."""
        return int(connection.scalar(NEXT) or 0)

    def where(self, url: sa.URL, replica: str) -> sa.URL:
        """Return *url*: the primary knows each standby by its application_name."""
        del replica
        return url

    def replication(self, connection: sa.Connection, replica: str) -> Replication:
        """Return the lag of a standby, and its position in the log.

        replay_lag does not change while nothing is replayed, and up to 20 s after
        everything is replayed, so the positions are needed as well.
        """
        require_right(connection)
        seconds, written, replayed = connection.execute(
            STANDBY, {"name": replica}
        ).one()
        if replayed is None:
            standbys = ", ".join(connection.scalars(STANDBYS)) or "none"
            raise Unmeasurable(
                f"no standby {replica} is connected (application_name of the connected"
                f" standbys: {standbys})"
            )
        if replayed >= written:
            seconds = 0
        return Replication(
            seconds=float(seconds or 0), written=int(written), replayed=int(replayed)
        )


def require_right(connection: sa.Connection) -> None:
    """Raise RightMissing if the role cannot see the sessions of other roles."""
    if not connection.scalar(PRIVILEGED):
        raise RightMissing(RIGHT)
