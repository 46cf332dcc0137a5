"""Count the right and the wrong mappings of a cloud."""

from collections import Counter
from collections.abc import Iterable

import sqlalchemy as sa

from cellmap_migrations.testing.rows import Mapped
from tests.upgrade_job.cloud import JobCloud
from tests.upgrade_job.kinds import Server

MARKER = "INSTANCE_MIGRATION_MARKER"
Owners = Counter[tuple[str, str | None]]


def right(server: Server, cloud: JobCloud, mappings: dict[str, Mapped]) -> bool:
    """Say whether the mapping of an instance is what it shall be."""
    row = mappings.get(server.uuid)
    if row is None or server.kind.where is None:
        return row is None and server.kind.where is None
    return (row.cell_id, row.project_id, row.user_id, row.queued_for_delete) == (
        cloud.named(server.kind.where).id,
        server.project_id,
        server.user_id,
        server.kind.gone,
    )


def live(cloud: JobCloud) -> Owners:
    """Count the live instances in the cells, by project and user."""
    found: Owners = Counter()
    for cell in cloud.cells:
        columns = cell.instances.c
        query = sa.select(columns.project_id, columns.user_id).where(
            columns.deleted == 0,
            columns.vm_state != "soft-delete",
            columns.project_id.is_not(None),
        )
        if "hidden" in columns:
            query = query.where(sa.or_(columns.hidden.is_(None), ~columns.hidden))
        with cell.engine.connect() as connection:
            found += Counter(tuple(row) for row in connection.execute(query))
    return found


def counted(mappings: Iterable[Mapped]) -> Owners:
    """Count the mappings that quotas count, by project and user."""
    return Counter(
        (row.project_id, row.user_id)
        for row in mappings
        if row.queued_for_delete is False and row.project_id != MARKER
    )


def markers(mappings: Iterable[Mapped]) -> int:
    """Count the rows in which nova notes how far it is."""
    return sum(row.project_id == MARKER for row in mappings)
