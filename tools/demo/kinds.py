"""Every kind of instance that a cell may hold, and what is promised for it."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID

from tools.demo.nova import CELLS, IDS, Nova

LONG_AGO = "2019-05-04 10:20:30.000000"
# What nova's fill_virtual_interface_list left in every cell.
PLACEHOLDER = "00000000-0000-0000-0000-000000000000"
OWNER = {"project_id": "5f0c9b7e", "user_id": "c2a41d86"}
# A mapping may also name no cell, as while a server is being built.
NO_CELL = ""

Columns = Mapping[str, Any]
USUAL: Columns = {}
DELETED: Columns = {"deleted": 1, "vm_state": "deleted"}


@dataclass(frozen=True)
class Kind:
    """Instances of cell1 that are alike, and the outcome promised for them.

    *decided* is their outcome after an operator has decided about them. *to* is the
    cell that their mapping names; *here* are their columns in cell1, and *there* those
    of their copies in cell2, if it has any; *mapping* are those of their mappings.
    """

    text: str
    rows: int
    outcome: str
    _: KW_ONLY
    decided: str = ""
    here: Columns = field(default_factory=dict)
    to: str | None = None
    mapping: Columns = field(default_factory=dict)
    building: bool = False
    there: Columns | None = None
    uuids: list[str] = field(default_factory=list)

    def outcome_now(self, *, decided: bool) -> str:
        """Return the outcome promised before or after the operator's decision."""
        return self.decided if decided and self.decided else self.outcome

    def cell_id(self, outcome: str) -> int | None:
        """Return where the mapping is to lead with *outcome*; 0 without a mapping."""
        if outcome in ("mapped", "already", "filled", "moved"):
            return IDS["cell1"]
        return 0 if self.to is None else IDS.get(self.to)


def kinds() -> list[Kind]:
    """Return a row for each rule about instances, and more where rules have cases."""
    now = datetime.now(timezone.utc)
    young = {"created_at": f"{now:%F %T.000000}"}
    # A boot that waits for an hour, as for a volume.
    booting = {
        "created_at": f"{now - timedelta(hours=1):%F %T.000000}",
        "vm_state": "building",
    }
    soft, hidden = {"vm_state": "soft-delete"}, {"hidden": True}
    no_user, no_project = {"user_id": None}, {"project_id": None}
    return [
        Kind("no mapping", 2500, "mapped"),
        Kind("no mapping, deleted", 400, "mapped", here=DELETED),
        Kind("no mapping, soft-deleted", 30, "mapped", here=soft),
        Kind("no mapping, no created_at", 25, "mapped", here={"created_at": None}),
        Kind("mapped to cell1", 600, "already", to="cell1"),
        Kind("mapped, deleted, not queued", 50, "already", to="cell1", here=DELETED),
        Kind("mapped without a user", 40, "already", to="cell1", mapping=no_user),
        Kind("mapped to no cell, old", 40, "filled", to=NO_CELL),
        Kind("mapped to no cell, young", 4, "in_flight", to=NO_CELL, here=young),
        Kind(
            "mapped to no cell, being built",
            4,
            "in_flight",
            here=booting,
            to=NO_CELL,
            building=True,
        ),
        Kind("mapped to cell2, hidden there", 3, "in_flight", to="cell2", there=hidden),
        Kind(
            "hidden, live in cell2", 5, "hidden", to="cell2", here=hidden, there=USUAL
        ),
        Kind(
            "nova's all-zero placeholder",
            1,
            "placeholder",
            here=DELETED,
            uuids=[PLACEHOLDER],
        ),
        Kind(
            "deleted, live in cell2",
            12,
            "elsewhere",
            to="cell2",
            here=DELETED,
            there=USUAL,
        ),
        Kind("mapped to cell2, not there", 8, "moved", to="cell2"),
        Kind("mapped to cell2, deleted there", 5, "moved", to="cell2", there=DELETED),
        Kind(
            "mapped to cell2, live there too",
            2,
            "conflict",
            decided="elsewhere",
            to="cell2",
            there=USUAL,
        ),
        Kind(
            "mapped to cell3, which is down",
            3,
            "unresolved",
            decided="moved",
            to="cell3",
        ),
        Kind(
            "no mapping, no project_id",
            3,
            "rejected",
            decided="mapped",
            here=no_project,
        ),
        Kind(
            "no mapping, no user_id",
            2,
            "rejected",
            decided="mapped",
            here=no_user,
        ),
    ]


# Beside the copies of cell2, the other cells only have instances without a mapping.
OTHERS = {"cell0": 150, "cell2": 1200, "cell3": 20}


def new_uuids(seed: int = 2) -> Iterator[str]:
    """Yield uuids that are the same in every demo."""
    source = random.Random(seed)
    while True:
        yield str(UUID(int=source.getrandbits(128), version=4))


def fill(nova: Nova) -> list[Kind]:
    """Fill the databases; return what is in cell1."""
    new = new_uuids()
    made = kinds()
    for kind in made:
        while len(kind.uuids) < kind.rows:
            kind.uuids.append(next(new))
        add(nova, "cell1", kind.uuids, kind.here)
        if kind.there is not None:
            add(nova, "cell2", kind.uuids, kind.there)
        if kind.to is not None:
            owner = {"cell_id": IDS.get(kind.to), **OWNER, **kind.mapping}
            row = {"created_at": LONG_AGO, "queued_for_delete": False, **owner}
            rows = [{"instance_uuid": uuid, **row} for uuid in kind.uuids]
            nova.insert("api", "instance_mappings", rows)
        if kind.building:
            project = OWNER["project_id"]
            rows = [{"instance_uuid": u, "project_id": project} for u in kind.uuids]
            nova.insert("api", "build_requests", rows)
    for cell, count in OTHERS.items():
        add(nova, cell, [PLACEHOLDER], DELETED)
        add(nova, cell, [next(new) for _ in range(count)], USUAL)
    for cell in CELLS:
        nova.run(cell, "UPDATE instances SET deleted = id WHERE deleted <> 0")
    return made


def add(nova: Nova, cell: str, uuids: list[str], columns: Columns) -> None:
    """Add servers, active and years old unless *columns* say otherwise."""
    usual = {"created_at": LONG_AGO, "vm_state": "active", "deleted": 0, "hidden": 0}
    row = usual | OWNER | dict(columns)
    nova.insert(cell, "instances", [{"uuid": uuid} | row for uuid in uuids])
