"""Make worlds in which other commands than a first upgrade have work to do."""

import os

from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.config import text
from tests.harness.inside import upgrade
from tests.interleavings.actions import (
    DEAD,
    HERE,
    LIVE,
    SOFT,
    THERE,
    Action,
    Prefix,
    instance,
    mapping,
)
from tests.interleavings.judge import MARKER
from tests.interleavings.world import State, World

# Differences that an upgraded cell has later, and a repair corrects.
DAMAGES = (
    Action(name="orphan", before=(mapping(":here"),)),
    Action(name="orphan-deleted", before=(mapping(":here", queued_for_delete="TRUE"),)),
    Action(name="stray", before=(mapping("NULL"),)),
    Action(name="marker", before=(mapping("NULL", project_id=f"'{MARKER}'"),)),
    Action(name="unmapped", before=(LIVE,)),
    Action(name="unmapped-deleted", before=(instance(HERE, **DEAD),)),
    Action(name="unfilled", before=(LIVE, mapping("NULL"))),
    Action(name="misplaced", before=(LIVE, mapping(":there"))),
    Action(
        name="misplaced-deleted",
        before=(LIVE, instance(THERE, **DEAD), mapping(":there")),
    ),
    Action(name="unflagged", before=(instance(HERE, **DEAD), mapping(":here"))),
    Action(name="unflagged-soft", before=(instance(HERE, **SOFT), mapping(":here"))),
    Action(name="userless", before=(LIVE, mapping(":here", user_id="NULL"))),
    Action(name="another-user", before=(LIVE, mapping(":here", user_id="'other'"))),
)


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
            "twin", database=self.here, connection=self.another_address()
        )
        self.values["here"] = twin.id
        table = self.cloud.instance_mappings
        mine = (table.c.cell_id == self.kept, table.c.id % 3 > 0)
        self.cloud.execute(table.update().where(*mine).values(cell_id=twin.id))
        for number in range(2):
            self.cloud.insert(
                "host_mappings", cell_id=twin.id, host=f"compute-{number}"
            )

    def another_address(self) -> str:
        """Return another address of the cell's database."""
        url = self.here.url
        if self.backend != "sqlite":
            return text(url.update_query_dict({"application_name": "twin"}))
        link = f"{url.database}.link"
        os.link(str(url.database), link)
        self.places[link] = HERE
        return text(url.set(database=link))
