"""Define the tables of nova that this package uses, for each release."""

from functools import cache

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
    table,
    text,
    times,
)
from cellmap_migrations.testing.instances import instance_columns, instance_keys

__all__ = ["API_HEAD", "RELEASES", "api_tables", "cell_tables"]

# The revision in nova's alembic_version of the API database at release 34.
API_HEAD = "cdeec0c85668"


@cache
def api_tables(release: str) -> sa.MetaData:
    """Return the tables of the API database as they were in *release*."""
    age = age_of(release)
    metadata = sa.MetaData()
    cell_mappings(metadata, age)
    host_mappings(metadata)
    instance_mappings(metadata, age)
    if age >= RELEASES.index("rocky"):
        build_requests(metadata, age)
    if age >= RELEASES.index("34"):
        version = sa.Column("version_num", sa.String(32), nullable=False)
        primary = sa.PrimaryKeyConstraint("version_num", name="alembic_version_pkc")
        sa.Table("alembic_version", metadata, version, primary)
    return metadata


@cache
def cell_tables(release: str) -> sa.MetaData:
    """Return the tables of a cell database as they were in *release*."""
    metadata = sa.MetaData()
    table(
        "instances",
        metadata,
        *instance_columns(release, locked_by="instances0locked_by"),
        *instance_keys(release),
    )
    table(
        "shadow_instances",
        metadata,
        *instance_columns(release, locked_by="shadow_instances0locked_by"),
    )
    return metadata


def cell_mappings(metadata: sa.MetaData, age: int) -> None:
    """Add ``cell_mappings``."""
    table(
        "cell_mappings",
        metadata,
        *times("created_at", "updated_at"),
        key(),
        string("uuid", 36, nullable=False),
        string("name"),
        text("transport_url"),
        text("database_connection"),
        *([boolean("disabled")] if age >= RELEASES.index("rocky") else []),
        sa.UniqueConstraint("uuid", name="uniq_cell_mappings0uuid"),
        sa.Index("uuid_idx", "uuid"),
    )


def host_mappings(metadata: sa.MetaData) -> None:
    """Add ``host_mappings``."""
    table(
        "host_mappings",
        metadata,
        *times("created_at", "updated_at"),
        key(),
        cell_id(nullable=False),
        string("host", nullable=False),
        sa.UniqueConstraint("host", name="uniq_host_mappings0host"),
        sa.Index("host_idx", "host"),
    )


def instance_mappings(metadata: sa.MetaData, age: int) -> None:
    """Add ``instance_mappings``."""
    newer: list[Column | sa.Index] = []
    if age >= RELEASES.index("rocky"):
        newer += [boolean("queued_for_delete")]
    if age >= RELEASES.index("stein"):
        newer += [
            string("user_id"),
            sa.Index(
                "instance_mappings_user_id_project_id_idx", "user_id", "project_id"
            ),
        ]
    table(
        "instance_mappings",
        metadata,
        *times("created_at", "updated_at"),
        key(),
        string("instance_uuid", 36, nullable=False),
        cell_id(nullable=age >= RELEASES.index("rocky")),
        string("project_id", nullable=False),
        *newer,
        sa.UniqueConstraint(
            "instance_uuid", name="uniq_instance_mappings0instance_uuid"
        ),
        sa.Index("instance_uuid_idx", "instance_uuid"),
        sa.Index("project_id_idx", "project_id"),
    )


def cell_id(*, nullable: bool) -> Column:
    """Return the column ``cell_id``, a foreign key of ``cell_mappings``."""
    cell = sa.ForeignKey("cell_mappings.id")
    return sa.Column("cell_id", sa.Integer, cell, nullable=nullable)


def build_requests(metadata: sa.MetaData, age: int) -> None:
    """Add ``build_requests``."""
    old = age < RELEASES.index("34")
    table(
        "build_requests",
        metadata,
        *times("created_at", "updated_at"),
        key(),
        *([integer("request_spec_id")] if old else []),
        string("project_id", nullable=False),
        *(retired_request_columns() if old else []),
        string("instance_uuid", 36),
        medium_text("instance"),
        medium_text("block_device_mappings"),
        text("tags"),
        sa.UniqueConstraint("instance_uuid", name="uniq_build_requests0instance_uuid"),
        sa.Index("build_requests_project_id_idx", "project_id"),
        sa.Index("build_requests_instance_uuid_idx", "instance_uuid"),
    )


def retired_request_columns() -> list[Column]:
    """Return the columns that nova dropped from ``build_requests`` in release 25."""
    return [
        string("user_id"),
        string("display_name"),
        text("instance_metadata"),
        integer("progress"),
        string("vm_state"),
        string("task_state"),
        string("image_ref"),
        address("access_ip_v4"),
        address("access_ip_v6"),
        text("info_cache"),
        text("security_groups"),
        boolean("config_drive"),
        string("key_name"),
        locker("build_requests0locked_by"),
    ]
