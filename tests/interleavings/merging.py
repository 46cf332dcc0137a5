"""Explore the statements of a merge."""

import json
from collections.abc import Sequence

from cellmap_migrations.testing.process import Finished
from tests.harness.inside import cellmap_inside
from tests.interleavings.commands import CELL, Commanded, Complaints, End, touched
from tests.interleavings.grid import Case
from tests.interleavings.prepared import DuplicateWorld
from tests.interleavings.world import State


class Merging(Commanded):
    """Explore ``cellmap merge`` of a cell that has two rows in ``cell_mappings``."""

    name = "merge"
    makes = DuplicateWorld

    def command(self, *options: str) -> Finished:
        """Merge the two rows."""
        pair = (*CELL, "--from", "twin")
        return cellmap_inside(self.world.cloud, "merge", *pair, *options)

    def ended(self, codes: Sequence[int]) -> bool:
        """Return True after a merge of what nova mapped to the duplicate since."""
        return len(codes) > 1 and codes[-1] == 0

    def verdict(self, end: End) -> Complaints:
        """Yield the faults at the end."""
        assert isinstance(self.world, DuplicateWorld)
        kept, twin = self.world.kept, self.world.twin.id
        state, nova = end.state, end.nova
        merged = {
            uuid: {**row, "cell_id": kept} if row["cell_id"] == twin else row
            for uuid, row in nova.mappings.items()
        }
        yield from self.changed(merged, state.mappings)
        yield from self.hosts(kept)
        yield from moved_once(end.case, state)
        if end.case.undo:
            undone = self.command("--undo")
            if undone.code != 0:
                yield "", f"the undo ended with {undone.code}: {undone.err}"
            yield from self.changed(nova.mappings, self.world.state().mappings)
            yield from self.hosts(twin)

    def hosts(self, owner: int) -> Complaints:
        """Yield each host that is not mapped to the cell *owner*."""
        for row in self.world.cloud.rows("host_mappings"):
            if row["cell_id"] != owner:
                yield "", f"host {row['host']} is mapped to {row['cell_id']}"


def moved_once(case: Case, state: State) -> Complaints:
    """Yield each mapping that the journal has twice, unless nova moved it as well."""
    uuids = {row["id"]: uuid for uuid, row in state.mappings.items()}
    seen: set[int] = set()
    for entry in state.journal:
        undo = json.loads(entry["undo"] or "{}")
        if undo.get("table") != "instance_mappings":
            continue
        ids = numbers(undo["ids"])
        if len(ids) != entry["moved"]:
            yield "", f"a batch has {len(ids)} mappings, and counts {entry['moved']}"
        for number in seen & ids:
            if uuids.get(number) not in touched(case):
                yield uuids.get(number, ""), "was moved twice"
        seen |= ids


def numbers(text: str) -> set[int]:
    """Return the numbers in a text such as 1-3,7."""
    spans = [part.split("-") for part in text.split(",") if part]
    return {n for span in spans for n in range(int(span[0]), int(span[-1]) + 1)}
