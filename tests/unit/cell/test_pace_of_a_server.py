"""Batches get smaller while a server is slow, and larger again."""

import pytest

from tests.conftest import MakeCloud
from tests.harness.cloud import Cloud

PROJECT = "slow"

MOST = 200

X = {
    "batch_seconds": "0.25",
    "batch_rows_min": "5",
    "batch_rows_max": str(MOST),
}

# Each row of the project takes 10 ms.
SLOW = {
    "mysql": f"""
        CREATE TRIGGER slow BEFORE INSERT ON instance_mappings FOR EACH ROW
        IF NEW.project_id = '{PROJECT}' THEN SET @slept = SLEEP(0.01); END IF
    """,
    "postgresql": f"""
        CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_sleep(0.01); RETURN NEW; END $$;
        CREATE TRIGGER slow BEFORE INSERT ON instance_mappings FOR EACH ROW
        WHEN (NEW.project_id = '{PROJECT}') EXECUTE FUNCTION slow()
    """,
}


def slow_down(cloud: Cloud) -> None:
    """Let the server take its time with the rows of one project."""
    cloud.sql(SLOW[cloud.url.get_backend_name()])


@pytest.mark.only_on("mysql", "postgresql")
def test_sizes_go_down_in_a_slow_stretch_and_recover(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    slow_down(cloud)
    cell = cloud.add_cell("cell1")
    cell.add_instances(2 * MOST)
    # Two batches meet it at full size; those behind them know.
    slow = cell.add_instances(2 * MOST + 100, project_id=PROJECT)
    cell.add_instances(20 * MOST)
    first, last = (row["id"] for row in map(cell.row, (slow[0], slow[-1])) if row)

    finished = cloud.alembic("upgrade", "0001", cell="cell1", x=X)

    assert finished.code == 0
    batches = cloud.journal(cell)
    before = [each["rows_read"] for each in batches if each["upto_id"] < first]
    during = [
        each["rows_read"]
        for each in batches
        if each["after_id"] >= first and each["upto_id"] <= last
    ]
    after = [each["rows_read"] for each in batches if each["after_id"] >= last]
    # Whatever else the machine does: nothing is as slow as that stretch.
    assert max(before) == MOST
    assert min(during) <= MOST / 4
    assert max(after) >= 2 * min(during)
