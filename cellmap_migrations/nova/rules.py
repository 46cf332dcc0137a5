"""Decide about one instance: the outcomes, and the rules as pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

import sqlalchemy as sa

from cellmap_migrations.nova.tables import PLACEHOLDER

# A boot takes minutes. One that is not over after this time has died.
LONGEST_BOOT = timedelta(days=1)


class Outcome(str, Enum):
    """How one instance of the cell ends; each ends as exactly one."""

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
    """What another cell says of an instance that is in this cell as well."""

    ABSENT = "not there"
    DELETED = "deleted"
    LIVE = "live"
    HIDDEN = "hidden"
    UNKNOWN = "cannot be asked"


@dataclass(frozen=True, kw_only=True, slots=True)
class Instance:
    """One row of the cell's ``instances``, with the columns to be written.

    A soft-deleted one may be *restoring*. ``created_at`` is None for what is no time:
    MariaDB has 0000-00-00.
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
class Found:
    """What the API database has for an instance."""

    instance_uuid: str
    cell_id: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """An instance and its outcome, with a reason *why* if an operator must act."""

    instance: Instance
    outcome: Outcome
    why: str = ""
    other_cell_id: int | None = None


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the rules need to know beside the two rows."""

    cell_id: int
    now: datetime
    grace: timedelta
    # The build_requests.id of each instance that nova has one for.
    requests: dict[str, int]
    copies: dict[str, Copy]
    cell_names: dict[int, str]


def other_cell(instance: Instance, found: Found | None, cell_id: int) -> int | None:
    """Return which other cell has to be asked about *instance*, if any."""
    if found is None or found.cell_id == cell_id:
        return None
    if instance.hidden or instance.uuid == PLACEHOLDER:
        return None
    return found.cell_id


def decide(instance: Instance, found: Found | None, around: Evidence) -> Verdict:
    """Return what is to become of *instance*, mapped as *found* says."""
    if instance.uuid == PLACEHOLDER:
        # nova's fill_virtual_interface_list left one in every cell (19.0.0).
        return Verdict(instance=instance, outcome=Outcome.PLACEHOLDER)
    if instance.hidden:
        return Verdict(instance=instance, outcome=Outcome.HIDDEN)
    if found is None:
        return unmapped(instance)
    if found.cell_id == around.cell_id:
        return Verdict(instance=instance, outcome=Outcome.ALREADY)
    if found.cell_id is None:
        return without_cell(instance, around)
    return mapped_to_another(instance, found.cell_id, around)


def unmapped(instance: Instance) -> Verdict:
    """Decide about an instance that has no mapping."""
    why = ""
    if instance.values["project_id"] is None:
        why = "project_id is NULL, and a mapping must have one"
    elif not instance.deleted and instance.values.get("user_id", "") is None:
        # is_qfd_populated() looks at all mappings at once (nova/quota.py): one such
        # row breaks unified limits for the whole cloud.
        why = "user_id is NULL, and such a mapping breaks unified limits"
    outcome = Outcome.REJECTED if why else Outcome.MAPPED
    return Verdict(instance=instance, outcome=outcome, why=why)


def without_cell(instance: Instance, around: Evidence) -> Verdict:
    """Decide about an instance whose mapping has no cell yet, as during a boot."""
    # nova destroys the build request before it hands the instance to a compute host:
    # an instance in any state but building has left its boot, with or without one.
    request = around.requests.get(instance.uuid)
    booting = request is not None and instance.building and not instance.deleted
    # Every instance that nova boots has a created_at; one without is an old row.
    age = around.now - (instance.created_at or datetime.min)  # noqa: DTZ901
    young, why = age <= around.grace, ""
    if booting and not young and age > LONGEST_BOOT:
        why = (
            f"building for more than a day, with build request {request}: see "
            "docs/troubleshooting.rst"
        )
    outcome = Outcome.IN_FLIGHT if young or booting else Outcome.FILLED
    return Verdict(instance=instance, outcome=outcome, why=why)


def mapped_to_another(
    instance: Instance, other_cell_id: int, around: Evidence
) -> Verdict:
    """Decide about an instance that is mapped to another cell."""
    name = around.cell_names.get(other_cell_id, f"cell_mappings.id {other_cell_id}")
    copy, why = around.copies[instance.uuid], ""
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
    """Return the SQL that says when nova would have queued an instance for deletion.

    nova's populate_queued_for_delete (18.0.0) derives the flag in the same way.
    ``deleted`` is the row's own id once it is deleted, and may be NULL.
    """
    return sa.or_(
        sa.func.coalesce(instances.c.deleted, 0) != 0,
        sa.func.coalesce(instances.c.vm_state, "") == SOFT_DELETED,
    )
