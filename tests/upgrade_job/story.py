"""What is done to a cloud, in order, and what was seen on the way."""

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
    """A cloud and its copy; the one is ours to upgrade, the other is left to nova.

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
        """The servers that are live in two cells."""
        return [server for server in self.servers if server.kind.spare]

    @cached_property
    def found_before(self) -> dict[str, str | None]:
        """The cell in which nova's API code finds an instance, of each kind one."""
        kinds = {server.kind.title: server.uuid for server in self.servers}
        return dict(zip(kinds, self.cloud.ask("find", [*kinds.values()]), strict=True))

    @cached_property
    def populated_before(self) -> bool | None:
        """Whether nova's quotas count mappings before an upgrade; None in Stein."""
        populated: bool | None = self.cloud.ask("populated")
        return populated

    @cached_property
    def upgraded(self) -> dict[str, Mapped]:
        """The mappings after each cell was upgraded, each in another way."""
        assert self.found_before
        assert not self.populated_before
        for cell, way in zip(NAMES, self.ways.values(), strict=False):
            self.runs[cell] = way.upgrade(cell, self.cloud.config_file)
        return self.cloud.mappings()

    @cached_property
    def undecided(self) -> tuple[Finished, list[str | None]]:
        """How an upgrade ends that skips what has no project.

        And the cell in which nova's API code finds each server that is live in two.
        """
        assert self.upgraded
        self.cloud.configure(cellmap={"on_reject": "skip"})
        done = self.ways[LAST].upgrade("cell2", self.cloud.config_file)
        return done, self.cloud.ask("find", [one.uuid for one in self.twice])

    @cached_property
    def decided(self) -> dict[str, Mapped]:
        """The mappings after an operator deleted one copy of each of those."""
        assert self.undecided
        self.cloud.delete(spares(self.servers))
        self.runs["decided"] = self.ways[LAST].upgrade("cell2", self.cloud.config_file)
        return self.cloud.mappings()

    @cached_property
    def repeated(self) -> dict[str, Finished]:
        """The upgrades once more, of all cells in every way."""
        assert self.decided
        return {
            name: way.upgrade("all", self.cloud.config_file)
            for name, way in self.ways.items()
        }

    @cached_property
    def mapped_by_nova(self) -> dict[str, list[Finished]]:
        """How map_instances of each cell of the copy ended."""
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
        """Both clouds, after the upgrade of the one and nova's work on the other."""
        assert self.repeated
        assert self.mapped_by_nova
        return {"ours": self.cloud, "nova's": self.control}

    @cached_property
    def left(self) -> dict[str, dict[str, Mapped]]:
        """The mappings of both clouds at that time."""
        return {name: cloud.mappings() for name, cloud in self.clouds.items()}

    @cached_property
    def found(self) -> dict[str, dict[str, str | None]]:
        """The cell in which nova's API code then finds each instance, in both."""
        assert self.left
        return {name: self.find(cloud) for name, cloud in self.clouds.items()}

    @cached_property
    def verified(self) -> dict[str, int]:
        """What verify_instance then says of each instance in ours."""
        assert self.found
        uuids = [server.uuid for server in self.servers]
        return dict(zip(uuids, self.cloud.ask("verify", uuids), strict=True))

    @cached_property
    def populated(self) -> bool | None:
        """Whether nova's quotas then count mappings in ours; None in Stein."""
        assert self.verified
        populated: bool | None = self.cloud.ask("populated")
        return populated

    @cached_property
    def quotas(self) -> dict[str, list[list[int]]]:
        """What nova's quotas then count of each project and user that lives, in both.

        Nothing in Stein, whose quotas do not count mappings.
        """
        assert self.populated is not False
        owners = list(live(self.cloud))
        return {name: cloud.ask("count", owners) for name, cloud in self.clouds.items()}

    @cached_property
    def mapped_again(self) -> tuple[list[int], set[str]]:
        """What map_instances then ends with in ours, and the mappings that it adds."""
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
        """How nova's own online data migrations then end in ours."""
        assert self.mapped_again
        return self.cloud.manage("db", "online_data_migrations", cell="cell1")

    @cached_property
    def maintained(self) -> dict[str, dict[str, Finished]]:
        """How nova's other commands then end, in both."""
        assert self.migrated
        return {name: maintain(cloud) for name, cloud in self.clouds.items()}

    @cached_property
    def mended(self) -> dict[str, str | None]:
        """The cell in which nova's API code finds each instance after a repair."""
        assert self.maintained
        checked = self.cloud.cellmap("check", "--cell", "all")
        assert "unmapped" in checked.out
        self.cloud.cellmap("repair", "--cell", "all")
        return self.find(self.cloud)


def maintain(cloud: JobCloud) -> dict[str, Finished]:
    """Run what operators run after an upgrade, and what is to be refused."""
    cell2 = cloud.named("cell2").uuid
    archive = ["db", "archive_deleted_rows", "--until-complete", "--verbose"]
    return {
        "refuse": cloud.manage("cell_v2", "delete_cell", "--cell_uuid", cell2),
        **{f"archive {name}": cloud.manage(*archive, cell=name) for name in NAMES},
        "purge": cloud.manage("db", "purge", "--all", "--all-cells", "--verbose"),
        "status": cloud.program("nova-status", "upgrade", "check"),
    }
