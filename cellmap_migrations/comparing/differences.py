"""Classify the differences between instances and mappings, and count them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations.comparing.checksums import CREATED_AT, apart, sides
from cellmap_migrations.comparing.chunks import differing
from cellmap_migrations.copying import read
from cellmap_migrations.copying.decide import SECOND_LOOK, decide_rows
from cellmap_migrations.nova.rules import (
    WRITTEN,
    Outcome,
    Verdict,
    deleted_or_soft_deleted,
)
from cellmap_migrations.nova.tables import instance_mappings

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from cellmap_migrations.cell.cell import Cell
    from cellmap_migrations.copying.plan import ColumnSource, Plan


# What is compared, and where the cell has it.
COMPARED: dict[str, ColumnSource] = {
    "project_id": "project_id",
    "user_id": "user_id",
    "queued_for_delete": deleted_or_soft_deleted,
}


class Kind(str, Enum):
    """A way in which an instance and its mapping can differ."""

    UNMAPPED = "unmapped"
    NO_CELL = "no_cell"
    WRONG_CELL = "wrong_cell"
    ORPHAN = "orphan"
    ONLY_HIDDEN = "only_hidden"
    STRAY = "stray"
    QUEUED_FOR_DELETE = "queued_for_delete"
    USER_ID = "user_id"
    PROJECT_ID = "project_id"
    REJECTED = "rejected"
    CONFLICT = "conflict"
    UNRESOLVED = "unresolved"
    IN_FLIGHT = "in_flight"
    # No difference: nova queues an instance before it deletes it.
    QUEUED = "queued"
    # No difference either: map_instances writes the time at which it runs.
    CREATED_AT = "created_at"


# Kinds that are only information.
INFORMATION = (Kind.QUEUED, Kind.CREATED_AT)

# What upgrade would do about an instance, as a difference; a boot only if it died.
KINDS = {
    Outcome.MAPPED: Kind.UNMAPPED,
    Outcome.FILLED: Kind.NO_CELL,
    Outcome.MOVED: Kind.WRONG_CELL,
    Outcome.REJECTED: Kind.REJECTED,
    Outcome.CONFLICT: Kind.CONFLICT,
    Outcome.UNRESOLVED: Kind.UNRESOLVED,
    Outcome.IN_FLIGHT: Kind.IN_FLIGHT,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """One uuid at which a cell and its mappings differ, and how."""

    kind: Kind
    uuid: str
    why: str = ""
    verdict: Verdict | None = None


@dataclass(frozen=True, kw_only=True)
class Examined:
    """The instances and the mappings of a page of uuids, read in new transactions.

    *mappings* are keyed by uuid. *orphans* are the uuids of mappings to this cell whose
    instance the cell does not have.
    """

    verdicts: Sequence[Verdict]
    mappings: dict[str, Any]
    orphans: Sequence[str]

    def differences(self, compared: Sequence[str]) -> list[Difference]:
        """Return how the instances and the mappings differ, in *compared* columns."""
        found = []
        for verdict in self.verdicts:
            mapping = self.mappings.get(verdict.instance.uuid)
            if verdict.why or verdict.outcome in WRITTEN:
                found.append(as_difference(KINDS[verdict.outcome], verdict))
            elif verdict.outcome is Outcome.ALREADY and mapping is None:
                why = "its mapping spells the uuid in another way"
                found.append(as_difference(Kind.UNMAPPED, verdict, why))
            elif verdict.outcome is Outcome.ALREADY:
                found += in_columns(verdict, mapping, compared)
        return found + [
            Difference(kind=Kind.ORPHAN, uuid=uuid, why="the cell has no such instance")
            for uuid in self.orphans
        ]


def differences(
    cell: Cell, plan: Plan, compared: Sequence[str]
) -> Iterator[list[Difference]]:
    """Yield pages of differences in both directions, after a second look.

    *compared* are the columns to compare for instances that are mapped to this cell.
    uuids are compared to the byte, whatever the servers take for equal.
    """
    for page in examined_pages(cell, plan, compared):
        yield page.differences(compared)


def examined_pages(
    cell: Cell, plan: Plan, compared: Sequence[str]
) -> Iterator[Examined]:
    """Yield the rows at which the cell and its mappings differ, a page at a time."""
    ours, theirs = sides(cell, plan, compared)
    for uuids in differing(cell, ours, theirs, look_again=SECOND_LOOK):
        cell.keep_alive()
        yield cell.api.again(partial(examine, cell, plan, uuids, compared))


def examine(
    cell: Cell, plan: Plan, uuids: Sequence[str], compared: Sequence[str]
) -> Examined:
    """Read the instances and mappings of *uuids*, and decide about each instance."""
    asked = set(uuids)
    rows = read.by_uuids(cell.database, plan, uuids)
    rows = [row for row in rows if row.uuid in asked]
    with cell.api.reading() as connection:
        mappings = exact(connection, uuids, compared)
    missing = asked - {row.uuid for row in rows}
    return Examined(
        verdicts=decide_rows(cell, plan, rows),
        mappings=mappings,
        orphans=[
            uuid
            for uuid, mapping in mappings.items()
            if uuid in missing and mapping.cell_id == cell.mapping.id
        ],
    )


def as_difference(kind: Kind, verdict: Verdict, why: str = "") -> Difference:
    """Return a verdict as a difference."""
    return Difference(
        kind=kind, uuid=verdict.instance.uuid, why=why or verdict.why, verdict=verdict
    )


def exact(
    connection: sa.Connection, uuids: Sequence[str], compared: Sequence[str]
) -> dict[str, Any]:
    """Return the mappings of *uuids* by the uuid as the API database spells it."""
    columns = [instance_mappings.c[name] for name in compared]
    rows = connection.execute(
        sa.select(
            instance_mappings.c.instance_uuid, instance_mappings.c.cell_id, *columns
        ).where(instance_mappings.c.instance_uuid.in_(uuids))
    )
    return {row.instance_uuid: row for row in rows}


def in_columns(
    verdict: Verdict, mapping: Any, compared: Sequence[str]
) -> Iterator[Difference]:
    """Yield how a mapping to this cell differs from its instance."""
    instance = verdict.instance
    for name in compared:
        expected, found = instance.values[name], getattr(mapping, name)
        if name == CREATED_AT:
            if why := apart(read.time_of(found), instance.created_at):
                yield as_difference(Kind.CREATED_AT, verdict, why)
            continue
        if name == Kind.QUEUED_FOR_DELETE.value:
            expected = bool(expected)
            if found and not expected:
                yield as_difference(Kind.QUEUED, verdict)
                continue
            if (
                found is not None
                and expected
                and not instance.deleted
                and instance.restoring
            ):
                # nova clears the flag of an instance that it is restoring before the
                # instance changes.
                continue
        if expected != found:
            why = f"{found!r} in its mapping, {expected!r} in the cell"
            yield as_difference(Kind(name), verdict, why)


EXAMPLES = 10


class Tally:
    """How many differences of each kind there are, with up to EXAMPLES of each."""

    def __init__(self) -> None:
        self.counts: Counter[Kind] = Counter()
        self.examples: dict[Kind, list[Difference]] = {}

    def add(self, differences: Iterable[Difference]) -> None:
        """Take in some differences."""
        for difference in differences:
            self.counts[difference.kind] += 1
            if self.counts[difference.kind] <= EXAMPLES:
                self.examples.setdefault(difference.kind, []).append(difference)

    def total(self, *without: Kind) -> int:
        """Return how many there are, leaving out the kinds *without*."""
        return sum(n for kind, n in self.counts.items() if kind not in without)

    def found(self) -> list[Kind]:
        """Return the kinds there are, in an order that is always the same."""
        return [kind for kind in Kind if self.counts[kind]]

    def __str__(self) -> str:
        return ", ".join(f"{self.counts[kind]:,} {kind.value}" for kind in self.found())

    def lines(self) -> list[str]:
        """Return a line for each kind: its count and some uuids."""
        return [
            f"{kind.value:<18}{self.counts[kind]:>9,}  "
            + " ".join(difference.uuid for difference in self.examples[kind])
            for kind in self.found()
        ]

    def listing(self, kinds: Collection[Kind] = tuple(Kind)) -> list[str]:
        """Return a line for each example of *kinds*, with the reason."""
        lines = []
        for kind in self.found():
            if kind not in kinds:
                continue
            shown = self.examples[kind]
            lines += [f"{kind.value:<18}{each.uuid}  {each.why}" for each in shown]
            if (more := self.counts[kind] - len(shown)) > 0:
                lines.append(f"{kind.value:<18}and {more:,} more")
        return lines

    def as_dict(self) -> dict[str, Any]:
        """Return counts, uuids and what is different about each of those, by kind."""
        return {
            kind.value: {
                "count": self.counts[kind],
                "uuids": [difference.uuid for difference in self.examples[kind]],
                "why": [difference.why for difference in self.examples[kind]],
            }
            for kind in self.found()
        }
