"""Decide the outcome of one instance, with pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

import sqlalchemy as sa

from cellmap_migrations.nova.tables import PLACEHOLDER

# A boot takes minutes. After this time it is regarded as failed.
LONGEST_BOOT = timedelta(days=1)


class Outcome(str, Enum):
    """Name the result for one instance of the cell; each instance has exactly one."""

    MAPPED = "mapped"
    ALREADY = "already"
    FILLED = "filled"
    IN_FLIGHT = "in_flight"
    HIDDEN = "hidden"
    PLACEHOLDER = "placeholder"
    ELSEWHERE = "elsewhere"
    MOVED = "moved"
    CONFLICT = "conflict"
    UNRESOLVED = "unresolved"
    REJECTED = "rejected"


WRITTEN = (Outcome.MAPPED, Outcome.FILLED, Outcome.MOVED)


class Copy(Enum):
    """Describe the row that another cell has for an instance of this cell."""

    ABSENT = "not there"
    DELETED = "deleted"
    LIVE = "live"
    HIDDEN = "hidden"
    UNKNOWN = "cannot be asked"


@dataclass(frozen=True, kw_only=True, slots=True)
class Instance:
    """Hold one row of the cell's ``instances``; *values* are to be written.

    *restoring* is True while nova restores a soft-deleted instance. *created_at* is
    None for an invalid time, such as 0000-00-00 on MariaDB.
    """

    id: int
    uuid: str
    created_at: datetime | None
    deleted: bool
    hidden: bool
    building: bool
    restoring: bool
    values: dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class ExistingMapping:
    """Hold the row of ``instance_mappings`` of one instance."""

    instance_uuid: str
    cell_id: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """Hold an instance and its outcome; *why* is set if an operator must act."""

    instance: Instance
    outcome: Outcome
    why: str = ""
    other_cell_id: int | None = None


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Hold the facts that the rules need besides the two rows."""

    cell_id: int
    now: datetime
    grace: timedelta
    # build_requests.id by the uuid of the instance.
    requests: dict[str, int]
    copies: dict[str, Copy]
    cell_names: dict[int, str]


def other_cell(
    instance: Instance, found: ExistingMapping | None, cell_id: int
) -> int | None:
    """Return the id of the cell that must be asked about *instance*, or None."""
    if found is None or found.cell_id == cell_id:
        return None
    if instance.hidden or instance.uuid == PLACEHOLDER:
        return None
    return found.cell_id


def decide(
    instance: Instance, found: ExistingMapping | None, evidence: Evidence
) -> Verdict:
    """Return the verdict on *instance*, whose mapping is *found* or None."""
    if instance.uuid == PLACEHOLDER:
        # nova 19.0.0's fill_virtual_interface_list inserted one into every cell.
        return Verdict(instance=instance, outcome=Outcome.PLACEHOLDER)
    if instance.hidden:
        return Verdict(instance=instance, outcome=Outcome.HIDDEN)
    if found is None:
        return unmapped(instance)
    if found.cell_id == evidence.cell_id:
        return Verdict(instance=instance, outcome=Outcome.ALREADY)
    if found.cell_id is None:
        return without_cell(instance, evidence)
    return mapped_to_another(instance, found.cell_id, evidence)


def unmapped(instance: Instance) -> Verdict:
    """Decide about an instance that has no mapping."""
    why = ""
    if instance.values["project_id"] is None:
        why = "project_id is NULL, and a mapping must have one"
    elif not instance.deleted and instance.values.get("user_id", "") is None:
        # nova.quota.is_qfd_populated() checks all mappings at once: one such row
        # breaks unified limits for the whole cloud.
        why = "user_id is NULL, and such a mapping breaks unified limits"
    outcome = Outcome.REJECTED if why else Outcome.MAPPED
    return Verdict(instance=instance, outcome=outcome, why=why)


def without_cell(instance: Instance, evidence: Evidence) -> Verdict:
    """Decide about an instance whose mapping has no cell, as during a boot."""
    # nova destroys the build request before it casts to a compute host. So the boot of
    # an instance in any state but building has ended, even if its request remains.
    request = evidence.requests.get(instance.uuid)
    booting = request is not None and instance.building and not instance.deleted
    # nova sets created_at of every instance. A NULL is in an old row.
    age = evidence.now - (instance.created_at or datetime.min)  # noqa: DTZ901
    young, why = age <= evidence.grace, ""
    if booting and not young and age > LONGEST_BOOT:
        why = (
            f"building for more than a day, with build request {request}: see "
            "docs/troubleshooting.rst"
        )
    outcome = Outcome.IN_FLIGHT if young or booting else Outcome.FILLED
    return Verdict(instance=instance, outcome=outcome, why=why)


def mapped_to_another(
    instance: Instance, other_cell_id: int, evidence: Evidence
) -> Verdict:
    """Decide about an instance that is mapped to another cell."""
    name = evidence.cell_names.get(other_cell_id, f"cell_mappings.id {other_cell_id}")
    copy, why = evidence.copies[instance.uuid], ""
    if copy is Copy.UNKNOWN:
        outcome, why = Outcome.UNRESOLVED, f"mapped to {name}, which cannot be asked"
    elif copy is Copy.HIDDEN:
        outcome = Outcome.IN_FLIGHT
    elif copy is Copy.ABSENT:
        outcome = Outcome.MOVED
    elif instance.deleted:
        outcome = Outcome.ELSEWHERE
    elif copy is Copy.DELETED:
        outcome = Outcome.MOVED
    else:
        outcome, why = Outcome.CONFLICT, f"live here, and in {name} where it is mapped"
    return Verdict(
        instance=instance, outcome=outcome, why=why, other_cell_id=other_cell_id
    )


SOFT_DELETED = "soft-delete"


def deleted_or_soft_deleted(instances: sa.Table) -> sa.ColumnElement[Any]:
    """Return the SQL condition for ``queued_for_delete``.

    It is the condition of nova's populate_queued_for_delete (18.0.0). ``deleted`` is
    the row's own id after a deletion, and may be NULL.
    """
    return sa.or_(
        sa.func.coalesce(instances.c.deleted, 0) != 0,
        sa.func.coalesce(instances.c.vm_state, "") == SOFT_DELETED,
    )
