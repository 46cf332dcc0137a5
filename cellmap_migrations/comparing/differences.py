"""Classify the differences between instances and mappings, and count them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cellmap_migrations.comparing.checksums import CREATED_AT, sides
from cellmap_migrations.comparing.chunks import APART, differing
from cellmap_migrations.copying import read
from cellmap_migrations.copying.decide import SECOND_LOOK, decide_rows
from cellmap_migrations.databases.among import read_among
from cellmap_migrations.nova.rules import (
    WRITTEN,
    Outcome,
    Verdict,
    deleted_or_soft_deleted,
)
from cellmap_migrations.nova.tables import instance_mappings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from cellmap_migrations.cell.cell import Cell
    from cellmap_migrations.comparing.chunks import Page
    from cellmap_migrations.copying.plan import ColumnSource, Plan
    from cellmap_migrations.databases.database import Database


# The columns of a mapping that are compared, and the source of each in the cell.
COMPARED: dict[str, ColumnSource] = {
    "project_id": "project_id",
    "user_id": "user_id",
    "queued_for_delete": deleted_or_soft_deleted,
}


class Kind(str, Enum):
    """Name a way in which an instance and its mapping can differ."""

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
    # Not wrong: nova sets queued_for_delete before it deletes an instance.
    QUEUED = "queued"
    # Not wrong: nova's map_instances writes the time at which it runs.
    CREATED_AT = "created_at"


# Kinds that are information, and not wrong.
INFORMATION = (Kind.QUEUED, Kind.CREATED_AT)

# The difference that an instance has before its outcome. An instance in flight is one
# only if its boot has died.
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
    """Hold a uuid at which a cell and its mappings differ, the kind, and the reason."""

    kind: Kind
    uuid: str
    why: str = ""
    verdict: Verdict | None = None


@dataclass(frozen=True, kw_only=True)
class Examined:
    """Hold verdicts and mappings of a page of uuids, read in new transactions.

    *mappings* are keyed by uuid. *orphans* are the uuids of mappings to this cell whose
    instance the cell does not have.
    """

    verdicts: Sequence[Verdict]
    mappings: dict[str, Any]
    orphans: Sequence[str]

    def differences(self, compared: Sequence[str]) -> list[Difference]:
        """Return the differences of these uuids; only *compared* columns count."""
        differences = []
        for verdict in self.verdicts:
            existing = self.mappings.get(verdict.instance.uuid)
            if verdict.why or verdict.outcome in WRITTEN:
                differences.append(as_difference(KINDS[verdict.outcome], verdict))
            elif verdict.outcome is Outcome.ALREADY and existing is None:
                why = "its mapping spells the uuid in another way"
                differences.append(as_difference(Kind.UNMAPPED, verdict, why))
            elif verdict.outcome is Outcome.ALREADY:
                differences += column_differences(verdict, existing, compared)
        return differences + [orphan(uuid) for uuid in self.orphans]


def differences(
    cell: Cell, plan: Plan, compared: Sequence[str]
) -> Iterator[list[Difference]]:
    """Yield pages of differences in both directions, each uuid read twice.

    *compared* are the columns to compare for instances that are mapped to this cell.
    uuids are compared byte by byte, also on servers that ignore case.
    """
    for page in examined_pages(cell, plan, compared):
        yield page.differences(compared)


def examined_pages(
    cell: Cell, plan: Plan, compared: Sequence[str]
) -> Iterator[Examined]:
    """Yield the rows at which the cell and its mappings differ, page by page."""
    for page in differing_pages(cell, plan, compared):
        cell.keep_alive()
        yield cell.api.retry(partial(examine, cell, plan, page.uuids, compared))


def differing_pages(cell: Cell, plan: Plan, compared: Sequence[str]) -> Iterator[Page]:
    """Yield the uuids at which the cell and its mappings differ, page by page."""
    ours, theirs = sides(cell, plan, compared)
    return differing(cell, ours, theirs, look_again=SECOND_LOOK)


def examine(
    cell: Cell, plan: Plan, uuids: Sequence[str], compared: Sequence[str]
) -> Examined:
    """Read the instances and mappings of *uuids*, and decide about each instance."""
    asked = set(uuids)
    rows = read.by_uuids(cell.database, plan, uuids)
    rows = [row for row in rows if row.uuid in asked]
    mappings = exact_mappings(cell.api, uuids, compared)
    missing = asked - {row.uuid for row in rows}
    return Examined(
        verdicts=decide_rows(cell, plan, rows),
        mappings=mappings,
        orphans=[
            uuid
            for uuid, existing in mappings.items()
            if uuid in missing and existing.cell_id == cell.mapping.id
        ],
    )


def orphan(uuid: str) -> Difference:
    """Return the difference of a mapping without an instance."""
    return Difference(kind=Kind.ORPHAN, uuid=uuid, why="the cell has no such instance")


def as_difference(kind: Kind, verdict: Verdict, why: str = "") -> Difference:
    """Convert a verdict to a difference; its reason is *why*, or the verdict's."""
    return Difference(
        kind=kind, uuid=verdict.instance.uuid, why=why or verdict.why, verdict=verdict
    )


def exact_mappings(
    api: Database, uuids: Sequence[str], compared: Sequence[str]
) -> dict[str, Any]:
    """Return the mappings of *uuids*, keyed by uuid as the API database spells it."""
    table = instance_mappings.c
    columns = [table[name] for name in compared]
    select = sa.select(table.instance_uuid, table.id, table.cell_id, *columns)
    rows = read_among(api.read_once, select, table.instance_uuid, uuids)
    return {row.instance_uuid: row for row in rows}


def column_differences(
    verdict: Verdict, existing: Any, compared: Sequence[str]
) -> Iterator[Difference]:
    """Yield the *compared* columns in which a mapping differs from its instance."""
    instance = verdict.instance
    for name in compared:
        expected, found = instance.values[name], getattr(existing, name)
        if name == CREATED_AT:
            if why := time_difference(read.time_of(found), instance.created_at):
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
                # nova clears the flag of an instance that it restores before it changes
                # the instance.
                continue
        if expected != found:
            why = f"{found!r} in its mapping, {expected!r} in the cell"
            yield as_difference(Kind(name), verdict, why)


def time_difference(found: datetime | None, expected: datetime | None) -> str:
    """Return the sentence about two times that differ, or an empty text.

    Times that are at most APART seconds apart, or missing, do not differ.
    """
    if found is None or expected is None:
        return ""
    if abs(expected - found) <= timedelta(seconds=APART):
        return ""
    one, other = (f"{time:%Y-%m-%d %H:%M:%S}" for time in (found, expected))
    return (
        f"{one} in its mapping, {other} in the cell; nova shows the first while the "
        "cell is down"
    )
