"""A recorded revision does not outlive the mappings that it stands for."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from cellmap_migrations.copying import decide
from cellmap_migrations.databases.database import Database
from cellmap_migrations.nova.rules import ExistingMapping
from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.config import text
from cellmap_migrations.testing.servers.daemon import free_port
from tests.conftest import MakeCloud
from tests.harness.books import HEAD
from tests.harness.cloud import Cloud
from tests.harness.inside import cellmap_inside, upgrade

ROWS = 5

AGAIN = "it is walked again from the start"

# What a journal of an older version of this package did not have.
YOUNG = ("above_id", "paused", "pause_reason", "pause_option", "cell_database", "undo")

Act = Callable[[Cloud, Cell], object]


def upgraded(cloud: Cloud) -> Cell:
    """Return cell1, which has ROWS servers and is at the last revision."""
    cell = cloud.add_cell("cell1")
    cloud.add_cell("cell2")
    cell.add_instances(ROWS)
    assert upgrade(cloud).code == 0
    return cell


def status(cloud: Cloud) -> dict[str, Any]:
    """Return what ``status`` says of cell1."""
    finished = cellmap_inside(cloud, "status", "--output", "json")
    assert (finished.code, finished.err) == (0, "")
    cells = {cell["name"]: cell for cell in json.loads(finished.out)["cells"]}
    found: dict[str, Any] = cells["cell1"]
    return found


def lose_all(cloud: Cloud, _: Cell) -> None:
    """Restore instance_mappings from a dump in which it was empty."""
    cloud.execute(cloud.instance_mappings.delete())


def lose_newest(cloud: Cloud, cell: Cell) -> None:
    """Restore instance_mappings from a dump that lacks the last one."""
    cloud.unmap(cell.uuids()[-1])


def create_again(cloud: Cloud, cell: Cell) -> None:
    """Delete the row of the cell in cell_mappings, and create it with the same uuid."""
    lose_all(cloud, cell)
    table = cloud.tables["cell_mappings"]
    [row] = [row for row in cloud.rows("cell_mappings") if row["uuid"] == cell.uuid]
    cloud.execute(table.delete().where(table.c.id == cell.id))
    cloud.insert("cell_mappings", **{**row, "id": cell.id + 100})
    del cell.__dict__["id"]


@pytest.mark.parametrize("lose", [lose_all, lose_newest, create_again])
def test_cell_whose_mappings_are_gone_is_mapped_again_in_the_same_run(
    make_cloud: MakeCloud, lose: Act
) -> None:
    cloud = make_cloud()
    cell = upgraded(cloud)
    whole = status(cloud)
    lose(cloud, cell)

    lost = status(cloud)
    ended = upgrade(cloud)
    mended = status(cloud)

    assert (whole["state"], whole["lost"]) == ("complete", "")
    assert (lost["state"], lost["revision"]) == ("lost", HEAD)
    assert "its revision was recorded" in lost["lost"]
    assert ended.code == 0
    assert lost["lost"] in ended.err
    assert AGAIN in ended.err
    assert cloud.mapped_uuids(cell) == set(cell.uuids())
    assert (mended["state"], mended["revision"]) == ("complete", HEAD)
    assert (upgrade(cloud).err, cloud.versions()) == ("", {cell.uuid: HEAD})


def test_only_the_revisions_that_were_asked_for_are_done_again(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = upgraded(cloud)
    lose_all(cloud, cell)

    ended = upgrade(cloud, "0001")

    assert (ended.code, cloud.versions()) == (0, {cell.uuid: "0001"})
    assert cloud.mapped_uuids(cell) == set(cell.uuids())


def test_fleet_maps_such_a_cell_again_too(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = upgraded(cloud)
    assert cloud.cellmap("upgrade", "--cell", "all").code == 0
    lose_all(cloud, cell)

    ended = cloud.cellmap("upgrade", "--cell", "all")

    assert (ended.code, cloud.mapped_uuids(cell)) == (0, set(cell.uuids()))
    assert "1 of 2 cells have nothing left to do" in ended.err


def test_dry_run_counts_what_would_be_mapped_again(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = upgraded(cloud)
    lose_all(cloud, cell)

    ended = cellmap_inside(cloud, "upgrade", "--cell", "cell1", "--dry-run")

    assert (ended.code, cloud.mappings(), cloud.versions()) == (
        0,
        {},
        {cell.uuid: HEAD},
    )
    assert f"{ROWS} mapped" in ended.out


def change(**columns: object) -> Act:
    """Return what changes columns of the newest server, and removes its mapping."""

    def act(cloud: Cloud, cell: Cell) -> None:
        uuid = cell.uuids()[-1]
        cell.update(uuid, **columns)
        cloud.unmap(uuid)

    return act


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(lambda _, cell: cell.archive(cell.uuids()[-1]), id="archived"),
        pytest.param(
            lambda _, cell: [cell.archive(uuid) for uuid in cell.uuids()],
            id="all archived",
        ),
        pytest.param(
            lambda cloud, cell: cloud.remap(
                cell.uuids()[-1], cell_id=cloud.cells[1].id
            ),
            id="moved to another cell",
        ),
        pytest.param(change(hidden=True), id="hidden"),
        pytest.param(change(project_id=None), id="without project"),
        pytest.param(change(user_id=None), id="without user"),
        pytest.param(lambda _, cell: cell.add_instances(30), id="newer servers"),
    ],
)
def test_what_nova_may_do_to_the_newest_instance_is_no_loss(
    make_cloud: MakeCloud, act: Act
) -> None:
    cloud = make_cloud()
    cell = upgraded(cloud)
    act(cloud, cell)
    before = cloud.rows("cellmap_journal"), cloud.rows("instance_mappings")

    ended = upgrade(cloud)

    assert (ended.code, ended.out, ended.err) == (0, "", "")
    assert (cloud.rows("cellmap_journal"), cloud.rows("instance_mappings")) == before
    assert status(cloud)["state"] == "complete"


def test_cell_without_instances_has_nothing_to_lose(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cloud.add_cell("cell1")

    ended = [upgrade(cloud) for _ in range(2)]

    assert [(run.code, run.out, run.err) for run in ended] == [(0, "", "")] * 2


def test_archive_between_the_look_at_the_cell_and_that_at_the_mapping_is_no_loss(
    make_cloud: MakeCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = make_cloud()
    cell = upgraded(cloud)
    found = decide.find_mappings
    archived: list[str] = []

    def finding(api: Database, uuids: Sequence[str]) -> dict[str, ExistingMapping]:
        if not archived:
            archived.extend(uuids)
            cell.archive(uuids[0])
        return found(api, uuids)

    monkeypatch.setattr(decide, "find_mappings", finding)

    ended = upgrade(cloud)

    assert (ended.code, ended.out, ended.err) == (0, "", "")
    assert len(archived) == 1


def test_complete_cell_that_does_not_answer_is_taken_for_well(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = upgraded(cloud)
    gone = cell.url.set(port=free_port()) if cell.url.host else cell.url
    gone = gone if gone.host else gone.set(database="/nonexistent/cell.db")
    cloud.lead(cell, text(gone))

    ended = upgrade(cloud)

    assert (ended.code, ended.out, cloud.versions()) == (0, "", {cell.uuid: HEAD})
    assert "whether its mappings are still there is not known" in ended.err


def test_tables_of_an_older_version_get_the_columns_that_they_lack(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = upgraded(cloud)
    # To MariaDB "undo" is a word of its own.
    quote = cloud.engine.dialect.identifier_preparer.quote_identifier
    for name in map(quote, YOUNG):
        cloud.sql(f"ALTER TABLE cellmap_journal DROP COLUMN {name}")
    for name in ("cell_id", "proved_at"):
        cloud.sql(f"ALTER TABLE cellmap_version DROP COLUMN {name}")

    refused = cellmap_inside(cloud, "status")
    ended = upgrade(cloud)
    columns = {
        name: {each["name"] for each in sa.inspect(cloud.engine).get_columns(name)}
        for name in cloud.our_tables()
    }
    reset = cellmap_inside(cloud, "reset", "--cell", "cell1")
    again = upgrade(cloud)

    assert refused.code == 78
    assert f"table cellmap_journal lacks {', '.join(YOUNG)}" in refused.err
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    assert columns["cellmap_journal"] >= set(YOUNG)
    assert columns["cellmap_version"] >= {"cell_id", "proved_at"}
    assert (reset.code, again.code, status(cloud)["state"]) == (0, 0, "complete")
    [row] = cloud.rows("cellmap_version")
    assert row["cell_id"] == cell.id


def test_cell_before_train_has_no_column_hidden(make_cloud: MakeCloud) -> None:
    cloud = make_cloud(release="stein")
    cell = upgraded(cloud)
    lose_newest(cloud, cell)

    ended = [upgrade(cloud) for _ in range(2)]

    assert [run.code for run in ended] == [0, 0]
    assert (AGAIN in ended[0].err, ended[1].err) == (True, "")
    assert cloud.mapped_uuids(cell) == set(cell.uuids())
