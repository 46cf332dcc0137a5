"""Read the state of the databases at one moment."""

from dataclasses import dataclass
from typing import Any

from tools.demo.kinds import PLACEHOLDER, Kind
from tools.demo.nova import CELLS, IDS, Nova

LIVE = f"SELECT uuid FROM instances WHERE deleted = 0 AND uuid <> '{PLACEHOLDER}'"


@dataclass(frozen=True, kw_only=True)
class State:
    """Mappings by uuid, and by cell the live instances that a GET has to find."""

    mappings: dict[str, int | None]
    live: dict[str, set[str]]
    instances: dict[str, int]
    building: set[str]
    versions: dict[str, str]

    def answers(self, uuid: str) -> bool:
        """Say whether nova's API finds the server; else it answers 404."""
        if uuid in self.building:
            return True
        owner = self.mappings.get(uuid, 0)
        return any(
            uuid in live for cell, live in self.live.items() if IDS[cell] == owner
        )

    def lost(self, cell: str) -> int:
        """Return how many live servers of a cell answer 404."""
        return sum(not self.answers(uuid) for uuid in self.live[cell])

    def lost_of(self, kind: Kind) -> int:
        """Return how many live servers of a kind answer 404."""
        live = self.live["cell1"].intersection(kind.uuids)
        return sum(not self.answers(uuid) for uuid in live)

    def mapped(self, cell: str) -> int:
        """Return how many mappings lead to a cell."""
        return list(self.mappings.values()).count(IDS[cell])


def look(nova: Nova) -> State:
    """Read everything; a cell that is down has no servers then."""
    up = [cell for cell in CELLS if not nova.down(cell)]
    return State(
        mappings=dict(
            nova.query("api", "SELECT instance_uuid, cell_id FROM instance_mappings")
        ),
        live={cell: column(nova, cell, LIVE) for cell in up},
        instances={
            cell: nova.query(cell, "SELECT count(*) FROM instances")[0][0]
            for cell in up
        },
        building=column(nova, "api", "SELECT instance_uuid FROM build_requests"),
        versions=versions(nova),
    )


def column(nova: Nova, database: str, statement: str) -> set[Any]:
    """Return the values of a SELECT of one column."""
    return {row[0] for row in nova.query(database, statement)}


def versions(nova: Nova) -> dict[str, str]:
    """Return the revision that each cell is at, once there is such a table."""
    tables = column(nova, "api", "SELECT name FROM sqlite_master")
    if "cellmap_version" not in tables:
        return {}
    names = {uuid: name for name, uuid in CELLS.items()}
    rows = nova.query("api", "SELECT cell_uuid, version_num FROM cellmap_version")
    return {names[uuid]: version for uuid, version in rows}
