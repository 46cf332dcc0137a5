"""Judge the rows after a case by nova's rules, without code of the package."""

from collections.abc import Iterator
from signal import SIGKILL
from typing import Any

from cellmap_migrations.testing.rows import CELL0
from tests.interleavings.actions import MARKER
from tests.interleavings.world import State, World, same_cells

Row = dict[str, Any]

BUILDING = "building"

KILLED = -SIGKILL

# Columns of a mapping that nova alone writes.
OF_NOVA = ("project_id", "created_at", "updated_at")

NO_COUNTS = {
    "cell_uuid",
    "revision",
    "batch",
    "after_id",
    "upto_id",
    "rows_read",
    "started_at",
    "seconds",
    "stamp",
    "above_id",
    "paused",
    "pause_reason",
    "pause_option",
    "runner",
    "cell_database",
    "undo",
    "mended",
    "removed",
}


def live(row: Row | None) -> bool:
    """Return True if nova's API shows the instance."""
    return row is not None and not row["deleted"] and not row["hidden"]


def queued(row: Row) -> bool:
    """Return True if nova regards the instance as deleted."""
    return bool(row["deleted"]) or row["vm_state"] == "soft-delete"


class Judge:
    """Compare the rows after a case with the rows that nova alone would have left.

    *repairs*: a repair has also corrected rows of nova.
    """

    def __init__(self, world: World, nova: State, *, repairs: bool = False) -> None:
        self.nova, self.repairs = nova, repairs
        self.here, self.there = world.here.id, world.there.id
        self.cell_uuid, self.young = world.here.uuid, world.values["young"]

    def ours(self, row: Row | None) -> bool:
        """Return True if the instance must have a mapping."""
        return row is not None and not row["hidden"] and row["uuid"] != CELL0

    def booting(self, state: State, uuid: str) -> bool:
        """Return True if nova may still be at work on the mapping."""
        row = state.here.get(uuid) or {}
        mapping = state.mappings.get(uuid)
        unscheduled = mapping is not None and mapping["cell_id"] is None
        return unscheduled and (
            uuid in state.requests or str(row.get("created_at")) >= str(self.young)
        )

    def lost(self, state: State) -> Iterator[tuple[str, str]]:
        """Yield each instance that nova's API does not find where it is."""
        for uuid, row in state.here.items():
            if not self.ours(row) or self.booting(state, uuid):
                continue
            mapping, copy = state.mappings.get(uuid), state.there.get(uuid)
            cell = mapping["cell_id"] if mapping else None
            if mapping is None:
                yield uuid, "has no mapping"
            elif live(row) and cell != self.here:
                yield uuid, f"is live in cell {self.here} and mapped to {cell}"
            elif cell == self.there and copy is None:
                yield uuid, f"is mapped to cell {cell}, which does not have it"
            elif live(copy) and not live(row) and cell != self.there:
                yield uuid, f"is live in cell {self.there} and mapped to {cell}"

    def unproven(self, state: State) -> Iterator[tuple[str, str]]:
        """Yield each contradiction to the revision that was just recorded."""
        proofs = {"0001": self.lost, "0002": self.unflagged, "0003": self.userless}
        # Its COMMIT may have failed.
        revision = state.versions.get(self.cell_uuid)
        return proofs[revision](state) if revision else iter(())

    def unflagged(self, state: State) -> Iterator[tuple[str, str]]:
        """Yield each deleted instance whose mapping is not flagged."""
        for uuid, row, mapping in self.mapped_here(state):
            restoring = row["task_state"] == "restoring"
            if queued(row) and not mapping["queued_for_delete"] and not restoring:
                yield uuid, "is deleted, and its mapping has no flag"

    def userless(self, state: State) -> Iterator[tuple[str, str]]:
        """Yield each instance whose mapping has another user."""
        for uuid, row, mapping in self.mapped_here(state):
            if mapping["user_id"] != row["user_id"]:
                yield uuid, "has another user than its mapping"

    def meddled(self, state: State) -> Iterator[tuple[str, str]]:
        """Yield each boot whose mapping was changed while nova was to do that."""
        for uuid in state.requests:
            mapping, row = state.mappings[uuid], state.here.get(uuid)
            # nova sets both in one statement.
            ours = mapping["cell_id"] is not None and mapping["updated_at"] is None
            if ours and row and row["vm_state"] == BUILDING:
                yield uuid, "boots, and its mapping was given a cell"

    def mapped_here(self, state: State) -> Iterator[tuple[str, Row, Row]]:
        """Yield instances that are mapped to this cell, with their mappings."""
        for uuid, row in state.here.items():
            mapping = state.mappings.get(uuid)
            if mapping and mapping["cell_id"] == self.here and not row["hidden"]:
                yield uuid, row, mapping

    def wrong(self, state: State) -> list[tuple[str, str]]:
        """Return the differences that an upgrade has to correct, or a check to name."""
        checks = (self.lost, self.unflagged, self.userless)
        return [each for check in checks for each in check(state)]

    def unrepaired(self, state: State) -> Iterator[tuple[str, str]]:
        """Yield the differences that only a check names and a repair corrects."""
        for uuid, row in state.mappings.items():
            if row["cell_id"] == self.here and uuid not in state.here:
                yield uuid, "has no instance"
            marker = row["project_id"] == MARKER
            if row["cell_id"] is None and not marker and self.settled(state, uuid):
                yield uuid, "has neither a cell nor an instance"
        for uuid, instance, row in self.mapped_here(state):
            if instance["project_id"] != row["project_id"]:
                yield uuid, "has another project than its mapping"

    def complaints(self, state: State, codes: list[int]) -> Iterator[tuple[str, str]]:
        """Yield each fault at the end, with its uuid or an empty text."""
        if codes[-1] != 0 or {*codes} - {0, 65, 75, KILLED}:
            yield "", f"the runs ended with {codes}"
        yield from self.wrong(state)
        for uuid in same_cells(state, self.nova):
            yield uuid, "is not in its cell as nova left it"
        yield from self.changed(state)
        yield from self.invented(state)
        yield from self.books(state)

    def changed(self, state: State) -> Iterator[tuple[str, str]]:
        """Yield each mapping of nova's that was changed against the rules."""
        if state.requests.keys() != self.nova.requests.keys():
            yield "", "build requests differ"
        for uuid, before in self.nova.mappings.items():
            after, row = state.mappings.get(uuid), state.here.get(uuid)
            if after is None:
                removable = before["cell_id"] in {self.here, None}
                if not (self.repairs and removable and self.settled(state, uuid)):
                    yield uuid, "nova's mapping is gone"
                continue
            # An id depends on how many mappings were inserted before.
            for name in after.keys() - {"id"}:
                if before[name] != after[name] and not may_change(
                    name, before, after, row, repairs=self.repairs
                ):
                    yield uuid, f"{name} was {before[name]}, is {after[name]}"

    def settled(self, state: State, uuid: str) -> bool:
        """Return True if no cell has an instance, and nova is not at work on it."""
        row = self.nova.mappings.get(uuid) or state.mappings[uuid]
        times = [str(row[name] or "") for name in ("created_at", "updated_at")]
        somewhere = (state.here, state.there, state.requests)
        return max(times) < str(self.young) and not any(uuid in e for e in somewhere)

    def invented(self, state: State) -> Iterator[tuple[str, str]]:
        """Yield each mapping of the package with a wrong value."""
        for uuid in state.mappings.keys() - self.nova.mappings.keys():
            mapping, row = state.mappings[uuid], state.here.get(uuid)
            if row is None or not self.ours(row):
                yield uuid, "has a mapping of ours, and no instance"
                continue
            wanted = {
                "cell_id": self.here,
                "project_id": row["project_id"],
                "user_id": row["user_id"],
                "created_at": row["created_at"],
                "queued_for_delete": queued(row),
            }
            for name, value in wanted.items():
                if mapping[name] != value:
                    yield uuid, f"{name} is {mapping[name]}, not {value}"

    def books(self, state: State) -> Iterator[tuple[str, str]]:
        """Yield each contradiction in the journal."""
        stamps = {entry["stamp"] for entry in state.journal}
        batches = sorted(
            (entry for entry in state.journal if entry["revision"] == "0001"),
            key=lambda entry: int(entry["batch"]),
        )
        upto = 0
        for number, entry in enumerate(batches, 1):
            if (entry["batch"], entry["after_id"]) != (number, upto):
                yield "", f"batch {number} follows {upto}: {entry}"
            counts = sum(entry[name] for name in entry.keys() - NO_COUNTS)
            if entry["rows_read"] != counts + entry["mended"] + entry["removed"]:
                yield "", f"batch {number} counts {counts}: {entry}"
            upto = entry["upto_id"]
        # A repair also removes mappings of nova.
        removed = 0 if self.repairs else sum(each["removed"] for each in state.journal)
        kept = sum(entry["mapped"] for entry in state.journal) - removed
        ours = state.mappings.keys() - self.nova.mappings.keys()
        # nova sets the time of some, and removes others.
        stamped = {
            uuid for uuid in ours if state.mappings[uuid]["updated_at"] in stamps
        }
        if kept < len(stamped):
            yield "", f"the journal has {kept} mappings, there are {len(stamped)}"


def may_change(
    name: str, before: Row, after: Row, row: Row | None, *, repairs: bool
) -> bool:
    """Return True if the package may have changed a column of nova's mapping.

    *repairs*: a repair also corrects a user that is not the instance's.
    """
    if row is None or row["hidden"] or name in OF_NOVA:
        return False
    if name == "queued_for_delete":
        return bool(after[name]) and queued(row)
    if name == "user_id":
        return (repairs or before[name] is None) and after[name] == row[name]
    # A young boot is nova's, and an old instance without a cell is one that died.
    return name == "cell_id" and after[name] is not None and row["vm_state"] != BUILDING


def undone(judge: Judge, before: State, after: State) -> Iterator[tuple[str, str]]:
    """Yield each mapping of 0001 that a downgrade kept, or of nova that it changed."""
    nova = judge.nova.mappings
    of_others = {each["stamp"] for each in before.journal if each["revision"] != "0001"}
    # A repair may have inserted mappings in the same second.
    stamps = {each["stamp"] for each in before.journal} - of_others
    for uuid, row in before.mappings.items():
        if uuid in nova and after.mappings.get(uuid) != row:
            yield uuid, f"after the downgrade: {after.mappings.get(uuid)}, not {row}"
        ours = uuid not in nova and row["updated_at"] in stamps
        if ours and uuid in after.mappings:
            yield uuid, "has a mapping of ours after the downgrade"
