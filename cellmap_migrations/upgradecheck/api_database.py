"""Checks of the API database as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa
from oslo_upgradecheck.upgradecheck import Code

from cellmap_migrations.comparing.differences import COMPARED
from cellmap_migrations.comparing.repair import count_markers
from cellmap_migrations.copying.plans import ALWAYS
from cellmap_migrations.schema import instance_mappings
from cellmap_migrations.upgradecheck.results import result

if TYPE_CHECKING:
    from oslo_upgradecheck.upgradecheck import Result

    from cellmap_migrations.databases import Database
    from cellmap_migrations.settings import Settings

COUNTED_BY = frozenset({"queued_for_delete", "user_id"})
EXAMPLES = 3


def schema_recent(api: Database) -> Result:
    """Fail if a revision needs a column that is not there."""
    have = api.columns(instance_mappings)
    if lacking := sorted((ALWAYS | COMPARED.keys()) - have):
        names = ", ".join(f"instance_mappings.{name}" for name in lacking)
        return result(
            f"{names} not there; run nova-manage api_db sync", code=Code.FAILURE
        )
    return result("every column that the revisions need is there")


def no_marker(api: Database, settings: Settings) -> Result:
    """Warn of a place that map_instances left in the table; it stops only itself."""
    if not (markers := count_markers(api, settings)):
        return result("none is left behind")
    return result(
        f"{markers} left behind in instance_mappings; cellmap repair of any cell "
        "removes them",
        code=Code.WARNING,
    )


def counted(api: Database, *, in_use: bool) -> Result:
    """Look for mappings that nova cannot count by.

    One of them breaks unified limits for the whole cloud, which fails where these are
    *in_use*, and keeps the other drivers at counting in the cells.
    """
    if COUNTED_BY - api.columns(instance_mappings):
        return result("not checked: see API schema", code=Code.WARNING)
    # The condition of nova.quota.is_qfd_populated (19.0.0 and later).
    flag, user = instance_mappings.c.queued_for_delete, instance_mappings.c.user_id
    rows = api.read(
        sa.select(instance_mappings.c.instance_uuid)
        .where(sa.or_(flag.is_(None), sa.and_(user.is_(None), flag == sa.false())))
        .order_by(instance_mappings.c.id)
        .limit(EXAMPLES + 1)
    )
    if not rows:
        return result("every mapping has what they count by")
    uuids = [row[0] for row in rows[:EXAMPLES]]
    more = " and more" if len(rows) > EXAMPLES else ""
    return result(
        f"mappings without queued_for_delete or user_id: {', '.join(uuids)}{more}",
        "with one such row nova refuses to count by unified limits; upgrade every "
        "cell to head, then decide about what is left",
        code=Code.FAILURE if in_use else Code.WARNING,
    )
