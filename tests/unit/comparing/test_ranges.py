"""Ranges of ids hold about as many rows as the time for the last one allowed."""

from typing import Any

import sqlalchemy as sa

from cellmap_migrations.common.stopping import Stopping
from cellmap_migrations.comparing.checksums import FIRST_RANGE, Side, ranges
from cellmap_migrations.databases import dialects
from cellmap_migrations.databases.database import Database
from cellmap_migrations.nova.tables import instance_mappings
from tests.conftest import MakeCloud
from tests.harness.cloud import Cloud
from tests.harness.inside import alembic_inside

OURS, THEIRS = 1, 2


def api_side(cloud: Cloud) -> Side:
    """Return the mappings of the cell whose id is OURS."""
    ours = instance_mappings.c.cell_id == OURS
    return Side(
        database=Database(
            what="API database",
            engine=cloud.engine,
            backend=dialects.of(cloud.url),
            attempts=1,
            stopping=Stopping(),
        ),
        id=instance_mappings.c.id,
        uuid=instance_mappings.c.instance_uuid,
        texts=(),
        seconds=sa.literal(0),
        checksum=dialects.of(cloud.url).checksum,
        belongs=ours,
        scanned=ours,
        counted=ours,
    )


def test_range_does_not_grow_over_the_rows_of_other_cells(cloud: Cloud) -> None:
    numbers = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) "
    )
    with cloud.engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO instance_mappings (id, instance_uuid, project_id, cell_id) "
            + numbers.format(5 * FIRST_RANGE)
            + f"SELECT i, i, 'p', CASE WHEN i < {3 * FIRST_RANGE} THEN {THEIRS} "
            f"ELSE {OURS} END FROM n"
        )
    side = api_side(cloud)
    seconds = iter(range(1000))

    # Each range takes a second, so none may have more rows than the first.
    found = list(ranges(side, Stopping(), clock=lambda: float(next(seconds))))

    count = sa.select(sa.func.count()).select_from(instance_mappings)
    rows = [
        side.database.read(count.where(side.belongs, side.id > low, side.id <= high))
        for low, high in found
    ]
    counts = [row[0][0] for row in rows]
    assert max(counts) <= FIRST_RANGE
    assert sum(counts) == 2 * FIRST_RANGE + 1


def test_hole_of_two_milliards_of_ids_is_jumped_over(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    for number in (1, 2**31 - 2):
        cloud.map(cell.add_instance(id=number), cell, id=number)
    statements = []

    @sa.event.listens_for(sa.Engine, "before_cursor_execute")
    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        statements.append(statement)

    checked = alembic_inside(cloud, "check", cell="cell1")
    sa.event.remove(sa.Engine, "before_cursor_execute", note)

    assert checked.code == 0, checked.err
    assert len([text for text in statements if "FROM instance" in text]) < 50
