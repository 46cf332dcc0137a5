"""Define the columns and indexes of ``instances``."""

import sqlalchemy as sa

from cellmap_migrations.testing.columns import (
    RELEASES,
    Column,
    address,
    age_of,
    boolean,
    integer,
    key,
    locker,
    medium_text,
    string,
    times,
)


def instance_columns(release: str, *, locked_by: str) -> list[Column]:
    """Return the columns of ``instances`` and of ``shadow_instances``."""
    age = age_of(release)
    liberty, latest = age < RELEASES.index("rocky"), age >= RELEASES.index("34")
    return [
        *times("created_at", "updated_at", "deleted_at"),
        key(),
        integer("internal_id"),
        *map(string, ("user_id", "project_id", "image_ref", "kernel_id", "ramdisk_id")),
        integer("launch_index"),
        string("key_name"),
        medium_text("key_data"),
        integer("power_state"),
        string("vm_state"),
        *map(integer, ("memory_mb", "vcpus")),
        *map(string, ("hostname", "host")),
        medium_text("user_data"),
        string("reservation_id"),
        *times(*(["scheduled_at"] if liberty else [])),
        *times("launched_at", "terminated_at"),
        *map(string, ("display_name", "display_description", "availability_zone")),
        boolean("locked"),
        string("os_type"),
        medium_text("launched_on"),
        integer("instance_type_id"),
        string("vm_mode"),
        string("uuid", 36, nullable=False),
        *map(string, ("architecture", "root_device_name")),
        *map(address, ("access_ip_v4", "access_ip_v6")),
        *map(string, ("config_drive", "task_state")),
        *map(string, ("default_ephemeral_device", "default_swap_device")),
        integer("progress"),
        *map(boolean, ("auto_disk_config", "shutdown_terminate", "disable_terminate")),
        *map(integer, ("root_gb", "ephemeral_gb")),
        *map(string, ("cell_name", "node")),
        integer("deleted"),
        locker(locked_by),
        integer("cleaned"),
        string("ephemeral_key_uuid", 36),
        *(
            [boolean("hidden"), sa.Column("compute_id", sa.BigInteger)]
            if latest
            else []
        ),
    ]


def instance_keys(release: str) -> list[sa.Index | sa.UniqueConstraint]:
    """Return the indexes of ``instances``; ``shadow_instances`` has none."""
    age = age_of(release)
    keys = [
        ("reservation_id",),
        ("terminated_at", "launched_at"),
        ("task_state", "updated_at"),
        ("uuid", "deleted"),
        ("host", "node", "deleted"),
        ("host", "deleted", "cleaned"),
        ("project_id", "deleted"),
    ]
    if age >= RELEASES.index("rocky"):
        keys += [
            ("deleted", "created_at"),
            ("project_id",),
            ("updated_at", "project_id"),
        ]
    unique: list[sa.Index | sa.UniqueConstraint] = [
        sa.UniqueConstraint("uuid", name="uniq_instances0uuid")
    ]
    if age >= RELEASES.index("34"):
        keys += [("compute_id", "deleted")]
    else:
        # Until release 27 the column had a second unique index of this name.
        unique += [sa.Index("uuid", "uuid", unique=True)]
    return unique + [sa.Index(f"instances_{'_'.join(key)}_idx", *key) for key in keys]
