"""Make two cells with one database, and merge them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.process import Finished
from cellmap_migrations.testing.rows import LONG_AGO
from tests.harness.cloud import Cloud
from tests.harness.inside import cellmap_inside
from tests.harness.twins import leading_to

ROWS = 50

MERGE = ("merge", "--cell", "cell1", "--from", "twin")


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Hold two cells with one database; *moving* is mapped to the second."""

    cloud: Cloud
    cell: Cell
    twin: Cell
    moving: list[str]

    def owners(self, table: str = "instance_mappings") -> set[int]:
        """Return the cells that the rows of *table* have."""
        return {row["cell_id"] for row in self.cloud.rows(table)}

    def merges(self) -> list[dict[str, Any]]:
        """Return the journal of the merge, and check that it has no hole."""
        found = [
            row for row in self.cloud.journal(self.cell) if row["revision"] == "merge"
        ]
        assert [row["batch"] for row in found] == [*range(1, len(found) + 1)]
        return found


def mapped(cloud: Cloud) -> list[list[dict[str, Any]]]:
    """Return all mappings, of instances and of hosts, by their ids."""
    return [
        sorted(cloud.rows(name), key=lambda row: row["id"])
        for name in ("instance_mappings", "host_mappings")
    ]


@contextmanager
def created_twice(cloud: Cloud) -> Iterator[Pair]:
    """Create a cell of *cloud* twice, and map its instances to both."""
    cloud.configure(cellmap={"batch_rows_min": 10, "batch_rows_max": 10})
    cell = cloud.add_cell("cell1")
    with leading_to(cell) as url:
        twin = cloud.add_cell("twin", database=cell, connection=url)
        yield filled(cloud, cell, twin)


def filled(cloud: Cloud, cell: Cell, twin: Cell) -> Pair:
    """Map some of the instances of *cell* to it, most to *twin*, and a host each."""
    uuids = cell.add_instances(ROWS + 5)
    cloud.map_to(twin.id, uuids[:20], updated_at=LONG_AGO)
    cloud.map_to(cell.id, uuids[20:25])
    cloud.map_to(twin.id, uuids[25:])
    for number, owner in enumerate((cell, twin, twin)):
        cloud.insert("host_mappings", cell_id=owner.id, host=f"compute-{number}")
    return Pair(cloud=cloud, cell=cell, twin=twin, moving=uuids[:20] + uuids[25:])


def merge(cloud: Cloud, *options: str) -> tuple[Finished, dict[str, Any]]:
    """Merge; return the result of the command and its JSON."""
    finished = cellmap_inside(cloud, *MERGE, "--output", "json", *options)
    found: dict[str, Any] = json.loads(finished.out)
    return finished, found["moved_mappings"] if finished.code == 0 else found
