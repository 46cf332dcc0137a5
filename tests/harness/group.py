"""Run Group Replication of MySQL with three members, as InnoDB Cluster does."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import sqlalchemy as sa

from cellmap_migrations.testing.servers import PASSWORD
from cellmap_migrations.testing.servers.base import HOST
from cellmap_migrations.testing.servers.daemon import free_port, run
from tests.harness.clusters import Cluster, Led
from tests.harness.haproxy import Check
from tests.harness.newer import MySQL9

NAME = "7f1b4dbd-7b2a-4b39-8a0f-5d6a1c1d3e10"

MEMBERS = "performance_schema.replication_group_members"

STATE = f"SELECT member_state FROM {MEMBERS} WHERE member_id = @@server_uuid"

ONLINE = f"SELECT COUNT(*) FROM {MEMBERS} WHERE member_state = 'ONLINE'"

USABLE = f"""
SELECT member_state = 'ONLINE' AND member_role = 'PRIMARY'
  FROM {MEMBERS} WHERE member_id = @@server_uuid
"""

CONFLICTS = """
SELECT count_conflicts_detected
  FROM performance_schema.replication_group_member_stats
 WHERE member_id = @@server_uuid
"""

WATCHED = ("replication_group_members", "replication_group_member_stats")

SOURCE = (
    "CHANGE REPLICATION SOURCE TO SOURCE_USER = 'admin', SOURCE_PASSWORD = :password"
    " FOR CHANNEL 'group_replication_recovery'"
)


class Member(MySQL9):
    """Run a server that can join a group; each member has another *number*."""

    # Either every member takes writes, or only the primary.
    every_member_writes: ClassVar = False

    def __init__(self, folder: Path, *, number: int, like: "Member | None") -> None:
        self.number, self.like, self.group_port = number, like, free_port()
        super().__init__(folder)

    def install(self) -> None:
        """Create the system tables, or copy those of a member, which is faster."""
        if self.like is None:
            super().install()
            kept = ["cp", "-a", f"{self.folder}/data", f"{self.folder}/new"]
            run(kept, self.folder, account=self.account)
            return
        copy = ["cp", "-a", f"{self.like.folder}/new", f"{self.folder}/data"]
        run(copy, self.folder, account=self.account)
        # It holds the server's uuid.
        (self.folder / "data" / "auto.cnf").unlink(missing_ok=True)

    def command(self) -> list[str]:
        """Return the command that serves the folder in the foreground."""
        usual = [
            each
            for each in super().command()
            if not each.startswith(("--skip-log-bin", "--innodb-buffer-pool-size"))
        ]
        single, every = ("OFF", "ON") if self.every_member_writes else ("ON", "OFF")
        group = {
            "group-name": NAME,
            "start-on-boot": "OFF",
            "local-address": f"{HOST}:{self.group_port}",
            "single-primary-mode": single,
            "enforce-update-everywhere-checks": every,
            "recovery-get-public-key": "ON",
            # If the primary leaves, the group elects the member with the greatest
            # weight. A member that joins never replaces the primary: see Group.start().
            "member-weight": f"{100 - self.number}",
            "member-expel-timeout": "0",
            "autorejoin-tries": "0",
        }
        return [
            *usual,
            "--innodb-buffer-pool-size=64M",
            f"--server-id={self.number}",
            f"--report-host={HOST}",
            f"--report-port={self.port}",
            "--log-bin",
            "--sync-binlog=0",
            "--gtid-mode=ON",
            "--enforce-gtid-consistency=ON",
            "--plugin-load-add=group_replication.so",
            *(f"--loose-group-replication-{name}={group[name]}" for name in group),
        ]

    def grant(self, privileges: str, database: str, user: str) -> None:
        """Let *user* also see the members' queues, as docs/privileges.rst does."""
        super().grant(privileges, database, user)
        for table in WATCHED:
            self.execute(
                f"GRANT SELECT ON performance_schema.{table} TO {user}@'{HOST}'"
            )

    def value(self, query: str) -> Any:
        """Return the value that *query* selects on this member, or None."""
        with self.admin().connect() as connection:
            return connection.exec_driver_sql(query).scalar_one_or_none()

    def join(self, others: Sequence["Member"]) -> None:
        """Join *others*, or found the group."""
        # The statement fails on a server that is not in a group.
        with suppress(sa.exc.DBAPIError):
            self.execute("STOP GROUP_REPLICATION")
        # The server is in offline mode if the group has expelled it.
        self.execute("SET GLOBAL offline_mode = OFF")
        seeds = ",".join(f"{HOST}:{each.group_port}" for each in others)
        self.execute("SET GLOBAL group_replication_group_seeds = :seeds", seeds=seeds)
        self.execute(SOURCE, password=PASSWORD)
        first = "OFF" if others else "ON"
        self.execute(f"SET GLOBAL group_replication_bootstrap_group = {first}")
        self.execute("START GROUP_REPLICATION")
        self.execute("SET GLOBAL group_replication_bootstrap_group = OFF")


class First(Led, Member):
    """Run the member that creates databases."""


class EveryWrites(Member):
    """Run a member of a group in multi-primary mode."""

    every_member_writes: ClassVar = True


class FirstOfAll(Led, EveryWrites):
    """Run the member of a multi-primary group that creates databases."""


class Group(Cluster[Member]):
    """Run a group in single-primary mode."""

    kinds: ClassVar[tuple[type[Member], type[Member]]] = (First, Member)

    def make(self, folder: Path) -> Member:
        """Make the next member."""
        first, other = self.kinds
        number = len(self.nodes) + 1
        if self.nodes:
            return other(folder, number=number, like=self.first)
        self.first = first(folder, number=number, like=None)
        return self.first

    def admit(self, node: Member, others: Sequence[Member]) -> None:
        """Start *node* if need be, and let it join unless it is a member."""
        node.start()
        if node.value(STATE) not in ("ONLINE", "RECOVERING"):
            node.join([other for other in others if other.value(STATE) == "ONLINE"])

    def start(self) -> None:
        """Return when every member is in step; the first one takes writes again."""
        super().start()
        if not self.first.value(USABLE):
            become = "SELECT group_replication_set_as_primary(@@server_uuid)"
            self.first.execute(become)
            # HAProxy follows.
            self.catch_up()

    def check(self, node: Member) -> Check:
        """Return a check that the member takes writes."""
        return Check(node, USABLE)

    def wait_for_others(self, connection: sa.Connection) -> None:
        """Let the next read of a session wait for all commits of other members."""
        connection.exec_driver_sql("SET SESSION group_replication_consistency='BEFORE'")

    def size(self, node: Member) -> int:
        """Return the number of members that are online, in the view of one member."""
        return int(node.value(ONLINE))

    def rejections(self, node: Member) -> int:
        """Return the number of transactions that failed certification on a member."""
        return int(node.value(CONFLICTS))


class EveryPrimary(Group):
    """Run a group in multi-primary mode."""

    kinds: ClassVar = (FirstOfAll, EveryWrites)
