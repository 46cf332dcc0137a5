"""``cellmap merge`` gives the mappings of a cell that was created twice to one row."""

import json
from collections.abc import Iterator
from pathlib import Path
from signal import SIGKILL, SIGSTOP, SIGTERM

import pytest

from cellmap_migrations.operations.merge_rows import numbers
from cellmap_migrations.testing.config import text
from cellmap_migrations.testing.rows import CELL0
from cellmap_migrations.testing.servers.postgresql import PostgreSQL
from tests.conftest import MakeCloud
from tests.harness.cloud import Cloud, wait_frozen
from tests.harness.inside import alembic_inside, cellmap_inside, last_line
from tests.harness.merging import (
    MERGE,
    ROWS,
    Pair,
    created_twice,
    filled,
    mapped,
    merge,
)
from tests.harness.replicas import Standby, folders_for, serving
from tests.harness.results import content
from tests.harness.twins import galera_twins


@pytest.fixture
def pair(make_cloud: MakeCloud) -> Iterator[Pair]:
    """A cell that was created twice, behind two addresses; batches of 10 rows."""
    with created_twice(make_cloud()) as made:
        yield made


def test_everything_is_moved_and_nothing_else_changes(pair: Pair) -> None:
    cloud = pair.cloud
    before = mapped(cloud)

    finished, counts = merge(cloud)

    after = mapped(cloud)
    own = {"cell_id": pair.cell.id}
    assert (finished.code, finished.err) == (0, "")
    assert counts == {"host_mappings": 2, "instance_mappings": ROWS}
    assert after == [[row | own for row in rows] for rows in before]
    assert sum(row["moved"] for row in pair.merges()) == ROWS + 2
    assert cloud.versions() == {}


def test_text_ends_with_the_next_command(pair: Pair) -> None:
    first = cellmap_inside(pair.cloud, *MERGE)
    again = cellmap_inside(pair.cloud, *MERGE)

    lines = first.out.splitlines()
    told = f"cell cell1 ({pair.cell.uuid}): nothing to move from cell twin"
    assert (first.code, again.code) == (0, 0)
    assert [line.split() for line in lines[1:3]] == [
        ["moved", "host_mappings", "2"],
        ["moved", "instance_mappings", str(ROWS)],
    ]
    assert lines[3] == (
        f"next: nova-manage cell_v2 delete_cell --cell_uuid {pair.twin.uuid}"
    )
    assert "update_cell --disable, Rocky and later" in lines[4]
    assert again.out.splitlines() == [f"{told} ({pair.twin.uuid})", *lines[3:]]


def test_dry_run_counts_and_writes_nothing_at_all(pair: Pair, backend: str) -> None:
    cloud = pair.cloud
    before = content(cloud.url)
    reader = cloud.server(backend).readonly(cloud.url)
    cloud.configure(api_database={"connection": text(reader)})

    finished, counts = merge(cloud, "--dry-run")

    assert (finished.code, finished.err) == (0, "")
    assert counts == {"host_mappings": 2, "instance_mappings": ROWS}
    assert content(cloud.url) == before


def test_cells_with_different_databases_are_refused(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell, other = cloud.add_cell("cell1"), cloud.add_cell("twin")
    pair = filled(cloud, cell, other)
    before = cloud.mappings()

    for options in ((), ("--dry-run",)):
        finished, _ = merge(cloud, *options)

        assert finished.code == 78
        assert str(cell.url.database) in last_line(finished)
        assert str(other.url.database) in last_line(finished)
        assert "nothing was moved, because instances of one" in last_line(finished)
    assert (cloud.mappings(), pair.merges()) == (before, [])


@pytest.mark.only_on("mysql")
def test_two_nodes_of_a_galera_cluster_are_merged(tmp_path: Path) -> None:
    with galera_twins(tmp_path) as (cloud, cell, twin):
        pair = filled(cloud, cell, twin)

        finished, counts = merge(cloud)

        owners = pair.owners() | pair.owners("host_mappings")
    assert (finished.code, owners) == (0, {cell.id})
    assert counts == {"host_mappings": 2, "instance_mappings": ROWS}


@pytest.mark.only_on("postgresql")
def test_physical_copy_is_not_merged(tmp_path: Path) -> None:
    with folders_for(2) as [first, second]:
        primary = PostgreSQL(first)
        with serving(primary):
            cloud = Cloud(tmp_path, lambda _: primary, backend="postgresql")
            cell = cloud.add_cell("cell1")
            copy = Standby(second, primary=primary)
            with serving(copy):
                url = text(cell.url.set(port=copy.port))
                twin = cloud.add_cell("twin", database=cell, connection=url)
                pair = filled(cloud, cell, twin)

                finished, _ = merge(cloud)

            owners = pair.owners()
            cloud.close()
    assert (finished.code, owners) == (78, {cell.id, twin.id})
    assert ", a copy of it with the same name: nothing was moved" in finished.err


@pytest.mark.parametrize(
    ("kept", "other", "why"),
    [
        ("cell1", "cell1", "it is the one to keep; name another one with --from"),
        ("cell1", CELL0, "nova finds cell0 by this uuid; name it with --cell"),
        ("cell1", "all", "from=all cannot be used: name one cell"),
        ("all", "cell2", "cell=all cannot be used: name one cell"),
        ("cell1", "nonsense", "no cell 'nonsense' in cell_mappings"),
        ("nonsense", "cell1", "no cell 'nonsense' in cell_mappings"),
    ],
)
def test_two_cells_have_to_be_named(
    cloud: Cloud, kept: str, other: str, why: str
) -> None:
    cloud.add_cell("cell0", uuid=CELL0)
    for name in ("cell1", "cell2"):
        cloud.add_cell(name)

    finished = cellmap_inside(cloud, "merge", "--cell", kept, "--from", other)

    assert (finished.code, why in last_line(finished)) == (78, True)
    assert cloud.our_tables() == set()


MOMENTS = (
    "before UPDATE host_mappings #1",
    "after UPDATE instance_mappings #1",
    "after INSERT INTO cellmap_journal #2",
    "before COMMIT #2",
    "after COMMIT #2",
)


def test_killed_merge_goes_on_when_it_is_run_again(pair: Pair) -> None:
    cloud = pair.cloud

    for moment in MOMENTS:
        killed = cloud.start_cellmap_until(moment, SIGKILL, *MERGE).wait()
        assert (moment, killed.code) == (moment, -SIGKILL)
    finished, _ = merge(cloud)

    assert finished.code == 0
    assert pair.owners() == pair.owners("host_mappings") == {pair.cell.id}
    assert sum(row["moved"] for row in pair.merges()) == ROWS + 2


def test_mapping_that_nova_makes_meanwhile_is_moved_too(pair: Pair) -> None:
    cloud = pair.cloud
    frozen = cloud.start_cellmap_until("after COMMIT #4", SIGSTOP, *MERGE)
    wait_frozen(frozen, "after COMMIT #4")
    # Ids in front of the walk are given out again by SQLite, and by no other.
    [gone, *_] = pair.moving
    cloud.unmap(gone)
    cloud.map(gone, pair.twin)
    cloud.insert("host_mappings", cell_id=pair.twin.id, host="compute-9")
    frozen.thaw()

    assert frozen.wait().code == 0
    assert pair.owners() == pair.owners("host_mappings") == {pair.cell.id}


def test_row_that_nova_deletes_at_the_last_moment_is_not_counted(pair: Pair) -> None:
    cloud = pair.cloud
    moment = "before UPDATE instance_mappings #1"
    frozen = cloud.start_cellmap_until(moment, SIGSTOP, *MERGE)
    wait_frozen(frozen, moment)
    [gone, *_] = pair.moving
    number = cloud.mappings()[gone].id
    cloud.unmap(gone)
    frozen.thaw()

    assert frozen.wait().code == 0
    entries = [json.loads(row["undo"]) for row in pair.merges()]
    ids = [number for entry in entries for number in numbers(entry["ids"])]
    assert pair.owners() == {pair.cell.id}
    assert sum(row["moved"] for row in pair.merges()) == ROWS + 1 == len(ids)
    assert number not in numbers(entries[1]["ids"])


def test_two_merges_at_once_do_no_harm(pair: Pair) -> None:
    cloud = pair.cloud
    frozen = cloud.start_cellmap_until("after COMMIT #2", SIGSTOP, *MERGE)
    wait_frozen(frozen, "after COMMIT #2")
    finished, _ = merge(cloud)
    frozen.thaw()

    assert (finished.code, frozen.wait().code) == (0, 0)
    assert pair.owners() == {pair.cell.id}
    assert sum(row["moved"] for row in pair.merges()) == ROWS + 2


def test_merge_whose_rows_another_one_moved_stops(pair: Pair) -> None:
    cloud = pair.cloud
    moment = "before UPDATE instance_mappings #1"
    frozen = cloud.start_cellmap_until(moment, SIGSTOP, *MERGE)
    wait_frozen(frozen, moment)
    first, _ = merge(cloud, "--max-rows", "12")
    frozen.thaw()
    second = frozen.wait()

    assert (first.code, second.code) == (75, 75)
    assert "another run" in last_line(second)
    assert sum(row["moved"] for row in pair.merges()) == 14


@pytest.mark.parametrize(
    ("limit", "moved"), [(("--max-rows", "12"), 12), (("--time-limit", "0"), 0)]
)
def test_limit_ends_a_merge(pair: Pair, limit: tuple[str, str], moved: int) -> None:
    stopped = cellmap_inside(pair.cloud, *MERGE, *limit)
    before = sum(row["moved"] for row in pair.merges())
    finished, _ = merge(pair.cloud)

    assert (stopped.code, before, finished.code) == (75, moved, 0)
    assert last_line(stopped).startswith("error: stopped: ")
    assert pair.owners() == {pair.cell.id}


def test_pause_that_takes_too_long_ends_a_merge(pair: Pair, tmp_path: Path) -> None:
    file = tmp_path / "pause"
    file.touch()
    pair.cloud.configure(cellmap={"pause_file": str(file), "max_pause": 0})

    finished = cellmap_inside(pair.cloud, *MERGE)

    assert (finished.code, pair.merges()) == (75, [])
    assert last_line(finished).startswith("error: paused for 0 s (max_pause): ")


def test_signal_ends_a_merge_after_the_batch_in_hand(pair: Pair) -> None:
    running = pair.cloud.start_cellmap_until("after COMMIT #2", SIGSTOP, *MERGE)
    wait_frozen(running, "after COMMIT #2")
    running.signal(SIGTERM)
    running.thaw()

    finished = running.wait()

    assert (finished.code, last_line(finished)) == (
        75,
        "error: stopped: SIGTERM received; run again to go on from here",
    )
    assert sum(row["moved"] for row in pair.merges()) == 12


@pytest.mark.only_on("mysql", "postgresql")
@pytest.mark.parametrize("table", ["host_mappings", "instance_mappings"])
def test_missing_right_is_named_and_nothing_is_moved(
    pair: Pair, backend: str, table: str
) -> None:
    cloud = pair.cloud
    cellmap_inside(cloud, *MERGE, "--max-rows", "1")
    before = mapped(cloud)
    reader = cloud.server(backend).readonly(cloud.url)
    cloud.configure(api_database={"connection": text(reader)})
    if table == "instance_mappings":
        cloud.execute(cloud.tables["host_mappings"].delete())
        before[1] = []

    finished = cellmap_inside(cloud, *MERGE)

    after = mapped(cloud)
    assert (finished.code, after) == (77, before)
    assert table in last_line(finished)
    assert "grant the missing privilege (docs/privileges.rst)" in last_line(finished)


def test_downgrade_leaves_what_runs_of_the_duplicate_inserted(cloud: Cloud) -> None:
    twin = cloud.add_cell("twin")
    uuids = set(twin.add_instances(3))
    alembic_inside(cloud, "upgrade", "head", cell="twin")
    cell = cloud.add_cell("cell1", database=twin)
    merge(cloud)
    table = cloud.tables["cell_mappings"]
    cloud.execute(table.delete().filter_by(uuid=twin.uuid))
    upgraded = alembic_inside(cloud, "upgrade", "head", cell="cell1")
    remove = {"remove_mappings": "yes"}

    downgraded = alembic_inside(cloud, "downgrade", "base", cell="cell1", x=remove)

    assert [upgraded.code, downgraded.code] == [0, 0]
    assert cloud.mapped_uuids(cell) == uuids
