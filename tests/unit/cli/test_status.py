"""``status``, ``journal`` and ``cells`` show all cells, also those that are down."""

import json
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from cellmap_migrations.testing.config import text
from cellmap_migrations.testing.rows import now
from cellmap_migrations.testing.servers.daemon import free_port
from tests.conftest import MakeCloud
from tests.harness.cloud import Cloud
from tests.harness.inside import alembic_inside, cellmap_inside


def look(cloud: Cloud, command: str, *arguments: str) -> Any:
    """Return what a command says in JSON; it must end well."""
    finished = cellmap_inside(cloud, command, *arguments, "--output", "json")
    assert (finished.code, finished.err) == (0, "")
    return json.loads(finished.out)


def test_status_before_anything_was_done(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")

    [status] = look(cloud, "status")["cells"]

    assert (status["cell"], status["state"], status["revision"]) == (
        *(cell.uuid, "behind", None),
    )
    assert (status["batches"], status["rows"], status["last_batch"]) == (0, 0, None)
    assert cloud.our_tables() == set()


def test_status_of_an_active_cell_says_what_is_left(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cloud.add_cell("cell1").add_instances(30)
    cellmap_inside(cloud, "upgrade", "--cell", "cell1", "--max-rows", "10")

    [status] = look(cloud, "status")["cells"]

    assert (status["state"], status["revision"]) == ("active", None)
    assert (status["batches"], status["rows"], status["mapped"]) == (1, 10, 10)
    assert status["rows_per_second"] > 0
    assert status["seconds_left"] >= 0


def test_cell_without_a_batch_in_the_last_minute_is_not_active(cloud: Cloud) -> None:
    cloud.add_cell("cell1").add_instances(30)
    cellmap_inside(cloud, "upgrade", "--cell", "cell1", "--max-rows", "10")
    past = now() - timedelta(hours=1)
    cloud.execute(
        sa.table("cellmap_journal", sa.column("started_at", sa.DateTime))
        .update()
        .values(started_at=past)
    )

    [status] = look(cloud, "status")["cells"]

    assert (status["state"], status["seconds_left"]) == ("behind", None)
    assert status["last_batch"] == f"{past.isoformat()}Z"


@pytest.mark.parametrize(
    "command",
    [
        ("downgrade", "--cell", "cell1", "--remove-mappings", "base"),
        ("reset", "--cell", "cell1"),
    ],
    ids=" ".join,
)
def test_cell_is_not_active_after_a_downgrade_or_a_reset(
    make_cloud: MakeCloud, command: tuple[str, ...]
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.add_instances(30)
    cellmap_inside(cloud, "upgrade", "--cell", "cell1")
    cellmap_inside(cloud, *command)

    [after] = look(cloud, "status")["cells"]
    cell.add_instances(1)
    cellmap_inside(cloud, "upgrade", "--cell", "cell1", "--max-rows", "10")
    [again] = look(cloud, "status")["cells"]

    assert (after["state"], after["revision"]) == ("behind", None)
    assert again["state"] == "active"


def proved(cloud: Cloud) -> str | None:
    """Return the time that the status has of the proof of the one cell."""
    found: str | None = look(cloud, "status")["cells"][0]["proved_at"]
    return found


def test_time_of_the_proof_is_that_of_the_last_upgrade_that_recorded_something(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cloud.add_cell("cell1").add_instances(3)
    before = proved(cloud)
    began = now()
    cellmap_inside(cloud, "upgrade", "--cell", "cell1")
    upgraded = proved(cloud)
    ended = now()
    cellmap_inside(cloud, "upgrade", "--cell", "cell1")

    assert before is None
    assert upgraded
    assert f"{began.isoformat()}Z" <= upgraded <= f"{ended.isoformat()}Z"
    assert proved(cloud) == upgraded


@pytest.mark.parametrize(
    "command",
    [("downgrade", "0002"), ("stamp", "0002"), ("stamp", "--purge", "head")],
    ids=" ".join,
)
def test_revision_that_no_comparison_proved_has_no_time(
    make_cloud: MakeCloud, command: tuple[str, ...]
) -> None:
    cloud = make_cloud()
    cloud.add_cell("cell1").add_instances(3)
    cellmap_inside(cloud, "upgrade", "--cell", "cell1")

    finished = alembic_inside(cloud, *command, cell="cell1")

    assert finished.code == 0
    assert proved(cloud) is None


def test_table_of_an_older_version_has_no_time_until_the_next_revision_is_recorded(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cloud.add_cell("cell1").add_instances(3)
    cellmap_inside(cloud, "upgrade", "--cell", "cell1", "0002")
    cloud.sql("ALTER TABLE cellmap_version DROP COLUMN proved_at")

    before = proved(cloud)
    cellmap_inside(cloud, "upgrade", "--cell", "cell1")

    assert before is None
    assert proved(cloud)


def test_status_answers_while_a_cell_is_down(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.add_instances(3)
    cellmap_inside(cloud, "upgrade", "--cell", "cell1")
    gone = cell.url.set(port=free_port()) if cell.url.host else cell.url
    gone = gone.set(database="/nonexistent/cell.db") if not gone.host else gone
    cells = cloud.tables["cell_mappings"]
    cloud.execute(cells.update().values(database_connection=text(gone)))

    [status] = look(cloud, "status")["cells"]

    assert (status["state"], status["reachable"]) == ("complete", False)
    assert (status["revision"], status["mapped"]) == ("0003", 3)


def test_status_is_a_table_for_people(cloud: Cloud) -> None:
    cell = cloud.add_cell("[red]cell1")
    cell.add_instances(3)
    cellmap_inside(cloud, "upgrade", "--cell", cell.uuid)

    heading, line = cellmap_inside(cloud, "status").out.splitlines()

    assert heading.startswith("CELL")
    assert line.split()[:7] == [
        *("[red]cell1", "0003", "complete", "answers", "1", "3", "3")
    ]


def test_journal_lists_every_batch(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.add_instances(30)
    cloud.configure(cellmap={"batch_rows_min": 10, "batch_rows_max": 10})
    cellmap_inside(cloud, "upgrade", "--cell", "cell1")

    batches = look(cloud, "journal", "--cell", "cell1")["batches"]
    lines = cellmap_inside(cloud, "journal", "--cell", "cell1").out.splitlines()

    recorded = cloud.journal(cell)
    names = recorded[0].keys() - {"cell_uuid", "started_at", "stamp"}
    assert len(lines) == 1 + len(batches) == 4
    assert {batch["cell"] for batch in batches} == {cell.uuid}
    assert all("cell_uuid" not in batch for batch in batches)
    assert [{name: batch[name] for name in names} for batch in batches] == [
        {name: batch[name] for name in names} for batch in recorded
    ]


def test_cells_are_listed_with_their_place_and_no_password(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cells = [cloud.add_cell("cell1"), cloud.add_cell(None, connection="no url")]

    first, second = look(cloud, "cells")["cells"]
    uuids = cellmap_inside(cloud, "cells", "--output", "uuid").out
    local = cellmap_inside(cloud, "cells", "--cell", "local", "--output", "uuid").out

    assert str(cells[0].url.database) in first["database"]
    assert second["database"].startswith("unusable: ")
    assert uuids.split() == [cell.uuid for cell in cells]
    assert local.split() == [cells[0].uuid]
