"""The kinds of instances that are in a cloud before its upgrade."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import uuid4

from cellmap_migrations.testing.rows import LONG_AGO

NOWHERE = "no cell"


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Instances of *cell*, how nova made them, and what their mapping shall be.

    *mapped* is the cell that they are mapped to beforehand, if they are. *other* has a
    second copy of them. *right* is the cell in which the API shall look for them, and
    None where no mapping can be. The columns are changed by SQL where nova's objects
    refuse them. *spare* has the copy that an operator deletes when told of both.
    """

    title: str
    count: int
    cell: str = "cell1"
    columns: dict[str, Any] = field(default_factory=dict)
    changed: dict[str, Any] = field(default_factory=dict)
    deleted: bool = False
    mapped: str | None = None
    remapped: dict[str, Any] = field(default_factory=dict)
    other: str | None = None
    other_columns: dict[str, Any] = field(default_factory=dict)
    right: str | None = "its own"
    spare: str | None = None

    @property
    def gone(self) -> bool:
        """Say whether the mapping is to be marked as queued for deletion."""
        return self.other is None and (
            self.deleted or self.columns.get("vm_state") == "soft-delete"
        )

    @property
    def where(self) -> str | None:
        """The cell to which the instances are to be mapped."""
        return self.cell if self.right == "its own" else self.right


SOFT = {"vm_state": "soft-delete"}
TWICE = "live in two cells, mapped to the first"
UNKNOWN = {"queued_for_delete": None, "user_id": None}

EARLIEST = Kind(title="active, mapped by nova when the upgrade began", count=20)
KINDS = [
    Kind(
        title="never scheduled, in cell0",
        count=10,
        cell="cell0",
        columns={"vm_state": "error", "host": None},
    ),
    Kind(title="active", count=40),
    Kind(title="active, mapped when it was built", count=20, mapped="cell1"),
    Kind(title="deleted", count=30, deleted=True),
    Kind(title="soft-deleted", count=15, columns=SOFT),
    Kind(title="active, without created_at", count=60, changed={"created_at": None}),
    Kind(title="active, its mapping has no cell", count=10, mapped=NOWHERE),
    Kind(title="active, mapped to a cell without it", count=10, mapped="cell2"),
    Kind(
        title="deleted here, live in another cell",
        count=10,
        deleted=True,
        other="cell2",
        right="cell2",
    ),
    Kind(title=TWICE, count=5, mapped="cell1", other="cell2", spare="cell2"),
    Kind(
        title="live in two cells, mapped to neither",
        count=5,
        other="cell2",
        right="cell2",
        spare="cell1",
    ),
    Kind(
        title="active, mapped before Rocky",
        count=10,
        mapped="cell1",
        remapped=UNKNOWN,
    ),
    Kind(
        title="deleted, mapped before Rocky",
        count=10,
        deleted=True,
        mapped="cell1",
        remapped=UNKNOWN,
    ),
    Kind(
        title="deleted, and the mapping says it is not",
        count=10,
        deleted=True,
        mapped="cell1",
    ),
    Kind(
        title="active, in a cell with one that has no project", count=20, cell="cell2"
    ),
    Kind(
        title="active, without a project",
        count=2,
        cell="cell2",
        columns={"project_id": None},
        right=None,
    ),
    Kind(title="active, younger than those without a project", count=20, cell="cell2"),
]
HIDDEN = Kind(
    title="active, with a hidden copy in another cell",
    count=5,
    mapped="cell1",
    other="cell2",
    other_columns={"hidden": True},
)


@dataclass(frozen=True, kw_only=True)
class Server:
    """One instance of a kind, in one cell or in two."""

    uuid: str
    kind: Kind
    project_id: str | None
    user_id: str
    created_at: str

    def copy(self, cell: str, *, deleted: bool, **columns: object) -> dict[str, Any]:
        """Return what nova is told to create in a cell."""
        return {
            "uuid": self.uuid,
            "cell": cell,
            "deleted": deleted,
            "created_at": self.created_at,
            "project_id": self.project_id,
            "user_id": self.user_id,
            "vm_state": "active",
            "host": "compute-1",
            "node": "compute-1",
            "compute_id": 1,
            "availability_zone": "nova",
            "display_name": "server",
            "image_ref": "0c2b4f6e-9d1a-4c3b-8e7f-5a6d7c8b9e0f",
            "memory_mb": 2048,
            "vcpus": 1,
            "root_gb": 20,
            "system_metadata": {},
            **columns,
        }


def spares(found: list[Server]) -> list[dict[str, str]]:
    """Return the copies that an operator deletes, by uuid and cell."""
    return [
        {"uuid": server.uuid, "cell": server.kind.spare}
        for server in found
        if server.kind.spare
    ]


def servers(kinds: list[Kind], *, day: int) -> list[Server]:
    """Return instances of all kinds, a minute between one and the next."""
    every = [kind for kind in kinds for _ in range(kind.count)]
    return [
        Server(
            uuid=str(uuid4()),
            kind=kind,
            project_id=kind.columns.get("project_id", f"project-{number % 3}"),
            user_id=f"user-{number % 2}",
            created_at=(LONG_AGO + timedelta(days=day, minutes=number)).isoformat(),
        )
        for number, kind in enumerate(every)
    ]
