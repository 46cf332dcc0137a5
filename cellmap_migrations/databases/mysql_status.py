"""Query the load of MariaDB and MySQL, and the lag of their replicas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations.databases.base import DATABASE_ERRORS, driver_error
from cellmap_migrations.databases.status import (
    Identity,
    Node,
    Replication,
    RightMissing,
    Status,
    Unmeasurable,
    Unmeasured,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


SYNTAX, DENIED, NO_SELECT = 1064, 1227, 1142

# MySQL 8.4 knows only the first, MariaDB before 10.5 and MySQL before 8.0.22 only the
# second.
REPLICA_STATUS = ("SHOW REPLICA STATUS", "SHOW SLAVE STATUS")

SECONDS_BEHIND = ("Seconds_Behind_Source", "Seconds_Behind_Master")

ERRORS = ("Last_IO_Error", "Last_SQL_Error")

# MariaDB 10.5 and later know this name; before, and in MySQL, it is the second.
RIGHT = "REPLICA MONITOR (REPLICATION CLIENT on MySQL)"

# Variables that name a server. MySQL has server_uuid, MariaDB since 10.7 server_uid,
# which is made from the hardware address of the host.
NAMES = ("server_uuid", "server_uid", "server_id", "hostname", "port", "datadir")

# The name that all members of a group replication share; only with its plugin.
GROUP = "group_replication_group_name"

NANOSECONDS = 1e9

CLUSTER = "wsrep_cluster_state_uuid"

# Only a server with Galera has the second.
COMMITTED = ("Com_commit", "wsrep_received")

WSREP = (
    "wsrep_gcomm_uuid",
    "wsrep_ready",
    "wsrep_flow_control_paused_ns",
    "wsrep_local_recv_queue",
)


# Write sets that a node has received and not applied yet. At 16, the default of
# gcs.fc_limit, flow control stops the whole cluster.
WRITE_SETS = 10

# Transactions that a member has received and not applied yet. At 25,000, the default of
# group_replication_flow_control_applier_threshold, flow control slows the whole group.
TRANSACTIONS = 1_000

# One transaction may be a batch of many rows, so the slowest member counts.
MEMBERS = """
SELECT m.member_state = 'ONLINE', (
         SELECT MAX(s.count_transactions_in_queue
                    + s.count_transactions_remote_in_applier_queue)
           FROM performance_schema.replication_group_member_stats s)
  FROM performance_schema.replication_group_members m
 WHERE m.member_id = @@server_uuid
"""

GROUP_RIGHT = (
    "SELECT on performance_schema.replication_group_members and "
    "replication_group_member_stats"
)


class MySQLStatus(Status):
    """Query the status variables and the replica status, which are in no table."""

    def identity(self, connection: sa.Connection) -> Identity:
        """Return the identity of a database of a server, a Galera cluster or a group.

        A cluster or group is one server here: a load balancer may lead to any node.
        """
        database = connection.exec_driver_sql("SELECT DATABASE()").scalar_one()
        said = variables(connection, "VARIABLES", *NAMES, GROUP, "wsrep_on")
        cluster = said.pop("wsrep_on", "OFF") == "ON" and variables(
            connection, "STATUS", CLUSTER
        ).get(CLUSTER)
        group = said.pop(GROUP, "")
        if cluster or group:
            server = f"Galera cluster {cluster}" if cluster else f"group {group}"
            return Identity(name=f"{server}, {database}", key=f"{server} {database}")
        name = said.get("server_uuid") or " ".join(
            (f"{said['hostname']}:{said['port']}", said["server_id"], said["datadir"])
        )
        return Identity(
            name=f"server {name}, {database}",
            key=f"{sorted(said.items())} {database}",
        )

    def running(self, connection: sa.Connection) -> int:
        """Return Threads_running, as an operator sees it."""
        return int(status(connection, "Threads_running")["Threads_running"])

    def commits(self, connection: sa.Connection) -> int:
        """Return the COMMITs here, and the write sets of other nodes of a cluster."""
        found = variables(connection, "STATUS", *COMMITTED)
        return sum(int(count) for count in found.values())

    def where(self, url: sa.URL, replica: str) -> sa.URL:
        """Return the URL of the replica itself; accounts replicate as all rows do."""
        try:
            address = sa.make_url(f"mysql://{replica}")
        except (sa.exc.ArgumentError, ValueError):
            address = sa.make_url("mysql://")
        if not address.host or address != sa.URL.create(
            "mysql", host=address.host, port=address.port
        ):
            raise Unmeasurable("write the host of each replica, or host:port")
        port = address.port or url.port
        there = url.set(host=address.host, port=port)
        return there.difference_update_query(["unix_socket", "host"])

    def replication(self, connection: sa.Connection, replica: str) -> Replication:
        """Return what the replica says; NULL is a replica that does not replicate."""
        row = replica_status(connection)
        if row is None:
            raise Unmeasurable(f"{replica} is no replica")
        seconds = next(row[name] for name in SECONDS_BEHIND if name in row)
        if seconds is None:
            why = next((row[name] for name in ERRORS if row.get(name)), "stopped")
            raise Unmeasured(f"{replica} does not replicate: {why}")
        return Replication(seconds=float(seconds))

    def node(self, connection: sa.Connection) -> Node | None:
        """Return the node's state; wsrep_on is OFF on a MariaDB without Galera."""
        known = variables(connection, "VARIABLES", "wsrep_on", GROUP)
        if known.get(GROUP):
            return member(connection, known[GROUP])
        if known.get("wsrep_on") != "ON":
            return None
        found = status(connection, *WSREP)
        return Node(
            name=found["wsrep_gcomm_uuid"],
            ready=found["wsrep_ready"] == "ON",
            paused=int(found["wsrep_flow_control_paused_ns"]) / NANOSECONDS,
            queue=int(found["wsrep_local_recv_queue"]),
            most=WRITE_SETS,
            cluster="Galera cluster",
            waiting="write sets wait in the Galera node's receive queue",
        )


def member(connection: sa.Connection, group: str) -> Node:
    """Return the state of the server in its *group*.

    Raises Unmeasurable if the user lacks the right. RightMissing would end the run, and
    nova's usual user lacks it.
    """
    try:
        online, queue = connection.exec_driver_sql(MEMBERS).one()
    except DATABASE_ERRORS as error:
        if driver_error(error).args[0] == NO_SELECT:
            raise Unmeasurable(f"the right {GROUP_RIGHT} is missing") from error
        raise
    return Node(
        name=group,
        ready=bool(online),
        queue=int(queue or 0),
        most=TRANSACTIONS,
        cluster="group",
        waiting="transactions wait on a member of the group",
    )


def variables(connection: sa.Connection, what: str, *names: str) -> dict[str, str]:
    """Return those of the global VARIABLES or STATUS that this server has, by name."""
    quoted = ", ".join(f"'{name}'" for name in names)
    rows = connection.exec_driver_sql(
        f"SHOW GLOBAL {what} WHERE Variable_name IN ({quoted})"
    )
    return {row[0]: row[1] for row in rows}


def status(connection: sa.Connection, *names: str) -> dict[str, str]:
    """Return status variables by name; raise Unmeasurable if one is not there."""
    found = variables(connection, "STATUS", *names)
    if missing := set(names) - found.keys():
        raise Unmeasurable(f"the server has no status {', '.join(sorted(missing))}")
    return found


def replica_status(connection: sa.Connection) -> Mapping[str, Any] | None:
    """Return the one row of the replica's status, or None on a server that is none."""
    new, old = REPLICA_STATUS
    try:
        try:
            found = connection.exec_driver_sql(new).mappings().first()
        except DATABASE_ERRORS as error:
            if driver_error(error).args[0] != SYNTAX:
                raise
            found = connection.exec_driver_sql(old).mappings().first()
    except DATABASE_ERRORS as error:
        if driver_error(error).args[0] == DENIED:
            raise RightMissing(RIGHT) from error
        raise
    return None if found is None else dict(found)
