"""Make worlds in which other commands than a first upgrade have work to do."""

import os

from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.config import text
from tests.harness.inside import upgrade
from tests.interleavings.actions import HERE, Prefix
from tests.interleavings.kinds import DAMAGES, STILL, UNDECIDED, UNRESOLVED
from tests.interleavings.world import State, World


class UpgradedWorld(World):
    """Make a world whose cell was upgraded."""

    # The rows before the upgrade.
    fresh: State

    def build(self) -> None:
        """Insert the rows, and upgrade the cell."""
        super().build()
        self.fresh = self.state()
        ended = upgrade(self.cloud)
        assert ended.code == 0, ended.err


class DamagedWorld(UpgradedWorld):
    """Make a world whose cell was upgraded, and has differences again."""

    def build(self) -> None:
        """Upgrade the cell; then insert rows with each difference."""
        super().build()
        for damage in DAMAGES:
            prefix = Prefix(damage, 0)
            for step in damage.before:
                self.do(prefix, step)


class DuplicateWorld(UpgradedWorld):
    """Make a world whose cell has a second row in ``cell_mappings``.

    All its mappings name that row, except that of every third instance. nova uses that
    row as well.
    """

    kept: int
    twin: Cell

    def build(self) -> None:
        """Upgrade the cell; then insert the second row, and map instances to it."""
        super().build()
        self.kept = self.here.id
        self.twin = twin = self.cloud.add_cell(
            "twin", database=self.here, connection=another_address(self)
        )
        self.values["here"] = twin.id
        table = self.cloud.instance_mappings
        mine = (table.c.cell_id == self.kept, table.c.id % 3 > 0)
        self.cloud.execute(table.update().where(*mine).values(cell_id=twin.id))
        for number in range(2):
            self.cloud.insert(
                "host_mappings", cell_id=twin.id, host=f"compute-{number}"
            )


class WorldOfTwoWriters(World):
    """Make a world in which a run writes two batches at the same time."""

    writers = 2


# An argument of an address that changes nothing for nova.
HARMLESS = {
    "mysql": {"charset": "utf8mb4"},
    "postgresql": {"application_name": "another"},
}


def another_address(world: World) -> str:
    """Return another address of the cell's database."""
    url = world.here.url
    if world.backend != "sqlite":
        return text(url.update_query_dict(HARMLESS[world.backend]))
    link = f"{url.database}.link"
    os.link(str(url.database), link)
    world.places[link] = HERE
    return text(url.set(database=link))


class SilentWorld(World):
    """Make a world in which instances are mapped to a cell that does not answer."""

    still = (*STILL, *(Prefix(action, 0) for action in UNRESOLVED))

    def build(self) -> None:
        """Add the silent cell, and insert the rows."""
        self.values["gone"] = self.cloud.add_silent_cell()
        super().build()


class UndecidedWorld(SilentWorld):
    """Make a world with instances about which an operator must decide."""

    still = (*STILL, *(Prefix(action, 0) for action in UNDECIDED))
