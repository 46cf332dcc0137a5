"""Define the rows that tests write and read."""

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any
from uuid import uuid4

import sqlalchemy as sa

CELL0 = "00000000-0000-0000-0000-000000000000"
PROJECT = "5d1f2c9a7b364e0f8a6c3b2d1e0f4a58"
USER = "c0ffee0a1b2c4d3e9f8a7b6c5d4e3f21"
# Whole seconds: MariaDB keeps no fraction.
LONG_AGO = datetime(2015, 10, 15, 12, 30)  # noqa: DTZ001 - nova's columns are naive


@dataclass(frozen=True, kw_only=True)
class Mapped:
    """Hold a row of ``instance_mappings``; columns of later releases are None."""

    id: int
    instance_uuid: str
    cell_id: int | None
    project_id: str
    created_at: datetime | None
    updated_at: datetime | None
    queued_for_delete: bool | None = None
    user_id: str | None = None


def instance() -> dict[str, Any]:
    """Return the columns that nova sets for an active instance, with a new uuid."""
    uuid = str(uuid4())
    return {
        "uuid": uuid,
        "created_at": LONG_AGO,
        "updated_at": LONG_AGO,
        "launched_at": LONG_AGO,
        "user_id": USER,
        "project_id": PROJECT,
        "image_ref": "0c2b4f6e-9d1a-4c3b-8e7f-5a6d7c8b9e0f",
        "power_state": 1,
        "vm_state": "active",
        "memory_mb": 2048,
        "vcpus": 1,
        "root_gb": 20,
        "ephemeral_gb": 0,
        "hostname": f"server-{uuid[:8]}",
        "display_name": f"server-{uuid[:8]}",
        "host": "compute-1",
        "node": "compute-1",
        "reservation_id": f"r-{uuid[:8]}",
        "launched_on": "compute-1",
        "availability_zone": "nova",
        "locked": False,
        "instance_type_id": 1,
        "deleted": 0,
        "cleaned": 0,
        "hidden": False,
        "compute_id": 1,
    }


def known(table: sa.Table, columns: dict[str, Any]) -> dict[str, Any]:
    """Return the entries of *columns* that *table* has in this release."""
    return {name: value for name, value in columns.items() if name in table.c}


def now() -> datetime:
    """Return the time as nova stores it: UTC, whole seconds, no time zone."""
    return datetime.now(timezone.utc).replace(tzinfo=None, microsecond=0)
