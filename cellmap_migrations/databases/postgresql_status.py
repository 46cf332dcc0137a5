"""What PostgreSQL says of its load, and of its standbys."""

from __future__ import annotations

import sqlalchemy as sa

from cellmap_migrations.databases.status import (
    Identity,
    Replication,
    RightMissing,
    Status,
    Unmeasurable,
)

# pg_monitor is a member of it. Without it the columns are there, and NULL.
RIGHT = "pg_monitor"

PRIVILEGED = sa.text("SELECT pg_has_role('pg_read_all_stats', 'USAGE')")

ACTIVE = sa.text(
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE state = 'active' AND backend_type = 'client backend'"
)

STANDBYS = sa.text(
    "SELECT DISTINCT application_name FROM pg_stat_replication ORDER BY 1"
)

# The farthest behind of those that share a name, as in a synchronous group.
STANDBY = sa.text(
    "SELECT EXTRACT(EPOCH FROM max(replay_lag)),"
    " pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0'),"
    " pg_wal_lsn_diff(min(replay_lsn), '0/0')"
    " FROM pg_stat_replication"
    " WHERE application_name = :name AND replay_lsn IS NOT NULL"
)

# Every role may see these unless an administrator revoked it. A physical copy has the
# same system identifier, and another start time.
MAY_IDENTIFY = sa.text(
    "SELECT has_function_privilege('pg_control_system()', 'EXECUTE')"
)

SYSTEM = sa.text("SELECT system_identifier FROM pg_control_system()")

# The table counts, and not the search_path that leads to it.
HERE = sa.text(
    "SELECT current_database(),"
    " coalesce((SELECT relnamespace::regnamespace::text FROM pg_class"
    " WHERE oid = to_regclass('instances')), current_schema()),"
    " EXTRACT(EPOCH FROM pg_postmaster_start_time())"
)


class PostgreSQLStatus(Status):
    """The statistics views; all of it is asked of the primary."""

    def identity(self, connection: sa.Connection) -> Identity:
        """Return the system identifier, the database and the schema of the tables."""
        may = connection.scalar(MAY_IDENTIFY)
        system = connection.scalar(SYSTEM) if may else "without an identifier"
        database, schema, started = connection.execute(HERE).one()
        name = f"PostgreSQL {system}, {database}.{schema}"
        return Identity(name=name, key=f"{name} {started}")

    def running(self, connection: sa.Connection) -> int:
        """Return how many clients' statements run."""
        refuse_blind(connection)
        return int(connection.scalar(ACTIVE) or 0)

    def where(self, url: sa.URL, replica: str) -> sa.URL:
        """Return the primary: it knows its standbys by their application_name."""
        del replica
        return url

    def replication(self, connection: sa.Connection, replica: str) -> Replication:
        """Return how far a standby is.

        replay_lag stands still while nothing is replayed, and for up to twenty seconds
        when everything is, so the places in the log are needed as well.
        """
        refuse_blind(connection)
        seconds, written, replayed = connection.execute(
            STANDBY, {"name": replica}
        ).one()
        if replayed is None:
            standbys = ", ".join(connection.scalars(STANDBYS)) or "none"
            raise Unmeasurable(
                f"no standby {replica} is connected (application_name of those that"
                f" are: {standbys})"
            )
        if replayed >= written:
            seconds = 0
        return Replication(
            seconds=float(seconds or 0), written=int(written), replayed=int(replayed)
        )


def refuse_blind(connection: sa.Connection) -> None:
    """Raise RightMissing for a role that sees NULL for what others do."""
    if not connection.scalar(PRIVILEGED):
        raise RightMissing(RIGHT)
