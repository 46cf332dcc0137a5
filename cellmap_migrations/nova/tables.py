"""Describe the columns of nova's tables that this package reads or writes.

The lists have the columns of all releases since Liberty. ``Database.columns`` returns
the columns that a database has. Integers have the widest type that a converted database
may have, because SQLAlchemy casts the values of a comparison to the type given here.
"""

from __future__ import annotations

from datetime import datetime, timezone

import sqlalchemy as sa

API = sa.MetaData()

CELL = sa.MetaData()

PLACEHOLDER = "00000000-0000-0000-0000-000000000000"

# nova's map_instances (14.0.0 and later) stores its progress in one mapping with this
# project, whose uuid has blanks instead of hyphens. If that mapping remains,
# map_instances of any other cell stops at once.
MARKER = "INSTANCE_MIGRATION_MARKER"

cell_mappings = sa.Table(
    "cell_mappings",
    API,
    sa.Column("id", sa.BigInteger, primary_key=True),
    sa.Column("uuid", sa.String(36)),
    sa.Column("name", sa.String(255)),
    sa.Column("database_connection", sa.Text),
)

instance_mappings = sa.Table(
    "instance_mappings",
    API,
    sa.Column("id", sa.BigInteger, primary_key=True),
    sa.Column("created_at", sa.DateTime),
    sa.Column("updated_at", sa.DateTime),
    sa.Column("instance_uuid", sa.String(36)),
    sa.Column("cell_id", sa.BigInteger),
    sa.Column("project_id", sa.String(255)),
    sa.Column("queued_for_delete", sa.Boolean),  # since Rocky
    sa.Column("user_id", sa.String(255)),  # since Stein
)

host_mappings = sa.Table(
    "host_mappings",
    API,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("cell_id", sa.Integer),
    sa.Column("host", sa.String(255)),
)

build_requests = sa.Table(
    "build_requests",  # since Mitaka
    API,
    sa.Column("id", sa.BigInteger, primary_key=True),
    sa.Column("instance_uuid", sa.String(36)),
)

instances = sa.Table(
    "instances",
    CELL,
    sa.Column("id", sa.BigInteger, primary_key=True),
    sa.Column("uuid", sa.String(36)),
    sa.Column("project_id", sa.String(255)),
    sa.Column("user_id", sa.String(255)),
    sa.Column("created_at", sa.DateTime),
    sa.Column("deleted", sa.BigInteger),
    sa.Column("vm_state", sa.String(255)),
    sa.Column("task_state", sa.String(255)),
    sa.Column("hidden", sa.Boolean),  # since Train
    # Of cells v1, until Stein; nova 34 still makes it.
    sa.Column("cell_name", sa.String(255)),
)

# The columns of an instances table in every supported release.
INSTANCES_ALWAYS = frozenset(instances.c.keys()) - {"hidden", "cell_name"}


def utcnow() -> datetime:
    """Return the time as nova stores it: UTC, whole seconds, no time zone."""
    return datetime.now(timezone.utc).replace(microsecond=0, tzinfo=None)
