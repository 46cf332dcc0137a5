"""A run that is killed is finished by the next one, as if nothing had been."""

from signal import SIGKILL
from typing import Any

from cellmap_migrations.copying.batches import START
from cellmap_migrations.testing.cell import Cell
from tests.conftest import MakeCloud
from tests.harness.books import HEAD, assert_books_balance, inserted, total, walked
from tests.harness.cloud import Cloud
from tests.harness.inside import alembic_inside
from tests.harness.moments import AT_THE_END, MOMENTS

BATCH = 20

SMALL = {"batch_rows_min": str(BATCH), "batch_rows_max": str(BATCH)}


def fill(cloud: Cloud, *, rows: int) -> Cell:
    """Make a cell in which every batch inserts, fills and moves."""
    cell, other = cloud.add_cell("cell1"), cloud.add_cell("cell2")
    uuids = cell.add_instances(rows)
    cloud.map_to(None, uuids[3::BATCH])
    cloud.map_to(other.id, uuids[7::BATCH])
    cloud.map_to(cell.id, uuids[11::BATCH])
    return cell


def start_over(cloud: Cloud, mappings: list[dict[str, Any]]) -> None:
    """Bring the API database back to what it was, without our tables."""
    with cloud.engine.begin() as connection:
        for name in ("cellmap_version", "cellmap_journal", "cellmap_control"):
            connection.exec_driver_sql(f"DROP TABLE {name}")
        connection.execute(cloud.instance_mappings.delete())
        connection.execute(cloud.instance_mappings.insert(), mappings)


def state(cloud: Cloud, cell: Cell) -> dict[str, tuple[Any, ...]]:
    """Return what a run decides about each mapping; not its time nor its id."""
    ours = inserted(cloud, cell)
    return {
        uuid: (row.cell_id, row.project_id, row.user_id, row.created_at, uuid in ours)
        for uuid, row in cloud.mappings().items()
    }


def test_killed_at_each_statement(make_cloud: MakeCloud) -> None:
    rows = 26 * BATCH
    cloud = make_cloud()
    cell = fill(cloud, rows=rows)
    before = cloud.rows("instance_mappings")
    undisturbed = cloud.alembic("upgrade", "head", cell="cell1", x=SMALL)
    expected = state(cloud, cell)
    start_over(cloud, before)

    for moment in (*MOMENTS, *AT_THE_END):
        killed = cloud.start_until(moment, SIGKILL, cell="cell1", x=SMALL).wait()
        assert (moment, killed.code) == (moment, -SIGKILL)
        assert_books_balance(cloud, cell)
    finished = cloud.alembic("upgrade", "head", cell="cell1", x=SMALL)

    assert (undisturbed.code, finished.code, finished.err) == (0, 0, "")
    assert state(cloud, cell) == expected
    assert cloud.versions() == {cell.uuid: HEAD}
    assert total(walked(cloud, cell), "rows_read") == rows


def test_next_run_begins_with_batches_as_large_as_the_last_one(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.add_instances(4 * START)
    large = {"batch_rows_min": str(3 * START // 2), "max_rows": str(3 * START // 2)}

    stopped = alembic_inside(cloud, "upgrade", "head", cell="cell1", x=large)
    finished = alembic_inside(cloud, "upgrade", "head", cell="cell1")

    assert (stopped.code, finished.code) == (75, 0)
    first, second, *_ = walked(cloud, cell)
    assert first["rows_read"] == second["rows_read"] == 3 * START // 2
