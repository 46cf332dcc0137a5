"""Upgrade a cloud step by step, and keep the results of each step."""

from dataclasses import dataclass, field
from functools import cached_property

from cellmap_migrations.testing.process import Finished
from cellmap_migrations.testing.rows import Mapped
from tests.upgrade_job.cloud import NAMES, JobCloud
from tests.upgrade_job.kinds import Server, spares
from tests.upgrade_job.measures import live
from tests.upgrade_job.ways import LAST, Way


@dataclass
class Story:
    """Hold a cloud that we upgrade, and its copy that nova maps.

    Each step is done when it is first asked about, after those that come before it.
    """

    cloud: JobCloud
    control: JobCloud
    servers: list[Server]
    ways: dict[str, Way]
    runs: dict[str, Finished] = field(default_factory=dict)

    def find(self, cloud: JobCloud) -> dict[str, str | None]:
        """Return the cell in which nova's API code finds each instance of a cloud."""
        uuids = [server.uuid for server in self.servers]
        return dict(zip(uuids, cloud.ask("find", uuids), strict=True))

    @property
    def twice(self) -> list[Server]:
        """Return the servers that are live in two cells."""
        return [server for server in self.servers if server.kind.spare]

    @cached_property
    def found_before(self) -> dict[str, str | None]:
        """Return the cell in which nova's API finds one instance of each kind."""
        kinds = {server.kind.title: server.uuid for server in self.servers}
        return dict(zip(kinds, self.cloud.ask("find", [*kinds.values()]), strict=True))

    @cached_property
    def populated_before(self) -> bool | None:
        """Return True if quotas count mappings before the upgrade; None in Stein."""
        populated: bool | None = self.cloud.ask("populated")
        return populated

    @cached_property
    def upgraded(self) -> dict[str, Mapped]:
        """Upgrade each cell, each in another way; return the mappings."""
        assert self.found_before
        assert not self.populated_before
        for cell, way in zip(NAMES, self.ways.values(), strict=False):
            self.runs[cell] = way.upgrade(cell, self.cloud.config_file)
        return self.cloud.mappings()

    @cached_property
    def undecided(self) -> tuple[Finished, list[str | None]]:
        """Upgrade cell2 with on_reject=skip, and return the end of the run.

        And the cell in which nova's API code finds each server that is live in two.
        """
        assert self.upgraded
        self.cloud.configure(cellmap={"on_reject": "skip"})
        done = self.ways[LAST].upgrade("cell2", self.cloud.config_file)
        return done, self.cloud.ask("find", [one.uuid for one in self.twice])

    @cached_property
    def decided(self) -> dict[str, Mapped]:
        """Delete one of two copies as an operator does; return the mappings."""
        assert self.undecided
        self.cloud.delete(spares(self.servers))
        self.runs["decided"] = self.ways[LAST].upgrade("cell2", self.cloud.config_file)
        return self.cloud.mappings()

    @cached_property
    def repeated(self) -> dict[str, Finished]:
        """Upgrade all cells once more, in every way."""
        assert self.decided
        return {
            name: way.upgrade("all", self.cloud.config_file)
            for name, way in self.ways.items()
        }

    @cached_property
    def mapped_by_nova(self) -> dict[str, list[Finished]]:
        """Run map_instances on each cell of the copy."""
        ended = {}
        for cell in NAMES:
            uuid = self.control.named(cell).uuid
            command = ["cell_v2", "map_instances", "--cell_uuid", uuid]
            runs = [self.control.manage(*command)]
            if runs[0].code:
                # As anybody would: the first may have met the marker of another cell.
                runs += [self.control.manage(*command)]
            ended[cell] = runs
        self.control.manage("db", "online_data_migrations", cell="cell1", check=True)
        self.control.delete(spares(self.servers))
        return ended

    @cached_property
    def clouds(self) -> dict[str, JobCloud]:
        """Return both clouds, after our upgrade and nova's work on the other one."""
        assert self.repeated
        assert self.mapped_by_nova
        return {"ours": self.cloud, "nova's": self.control}

    @cached_property
    def left(self) -> dict[str, dict[str, Mapped]]:
        """Return the mappings of both clouds at that time."""
        return {name: cloud.mappings() for name, cloud in self.clouds.items()}

    @cached_property
    def found(self) -> dict[str, dict[str, str | None]]:
        """Return the cell in which nova's API finds each instance, in both clouds."""
        assert self.left
        return {name: self.find(cloud) for name, cloud in self.clouds.items()}

    @cached_property
    def verified(self) -> dict[str, int]:
        """Return the exit code of verify_instance for each instance of our cloud."""
        assert self.found
        uuids = [server.uuid for server in self.servers]
        return dict(zip(uuids, self.cloud.ask("verify", uuids), strict=True))

    @cached_property
    def populated(self) -> bool | None:
        """Return True if quotas count mappings in our cloud; None in Stein."""
        assert self.verified
        populated: bool | None = self.cloud.ask("populated")
        return populated

    @cached_property
    def quotas(self) -> dict[str, list[list[int]]]:
        """Return the quota usage of each owner of live instances, in both clouds.

        Empty in Stein, whose quotas do not count mappings.
        """
        assert self.populated is not False
        owners = list(live(self.cloud))
        return {name: cloud.ask("count", owners) for name, cloud in self.clouds.items()}

    @cached_property
    def mapped_again(self) -> tuple[list[int], set[str]]:
        """Run map_instances on our cloud; return its exit codes and new mappings."""
        assert self.quotas
        before = self.cloud.mappings().keys()
        # --reset: the marker that it left when the upgrade began is in its own way.
        command = ["cell_v2", "map_instances", "--reset", "--cell_uuid"]
        codes = [
            self.cloud.manage(*command, cell.uuid).code for cell in self.cloud.cells
        ]
        return codes, self.cloud.mappings().keys() - before

    @cached_property
    def migrated(self) -> Finished:
        """Run nova's own online data migrations on our cloud."""
        assert self.mapped_again
        return self.cloud.manage("db", "online_data_migrations", cell="cell1")

    @cached_property
    def maintained(self) -> dict[str, dict[str, Finished]]:
        """Run nova's other commands on both clouds."""
        assert self.migrated
        return {name: maintain(cloud) for name, cloud in self.clouds.items()}

    @cached_property
    def mended(self) -> dict[str, str | None]:
        """Repair our cloud; return the cell in which nova's API finds each instance."""
        assert self.maintained
        checked = self.cloud.cellmap("check", "--cell", "all")
        assert "unmapped" in checked.out
        self.cloud.cellmap("repair", "--cell", "all")
        return self.find(self.cloud)


def maintain(cloud: JobCloud) -> dict[str, Finished]:
    """Run nova's commands of the days after an upgrade, and one that it refuses."""
    cell2 = cloud.named("cell2").uuid
    archive = ["db", "archive_deleted_rows", "--until-complete", "--verbose"]
    return {
        "refuse": cloud.manage("cell_v2", "delete_cell", "--cell_uuid", cell2),
        **{f"archive {name}": cloud.manage(*archive, cell=name) for name in NAMES},
        "purge": cloud.manage("db", "purge", "--all", "--all-cells", "--verbose"),
        "status": cloud.program("nova-status", "upgrade", "check"),
    }
