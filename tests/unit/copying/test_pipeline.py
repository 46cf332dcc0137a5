"""Several batches are written at once, and yet the journal is as if they were not."""

from itertools import pairwise
from typing import Any

import pytest

from cellmap_migrations.bookkeeping.requests import DEFAULT
from cellmap_migrations.copying import read
from cellmap_migrations.copying.batches import Batches, BatchSize
from cellmap_migrations.copying.pipeline import Pipeline
from cellmap_migrations.databases.database import Database
from cellmap_migrations.operations.revisions import prepare
from tests.conftest import MakeCloud
from tests.harness import poison
from tests.harness.books import assert_books_balance
from tests.harness.inside import opened
from tests.harness.plans import plan_of
from tests.harness.requests import record, setting
from tests.harness.upgrading import complete, map_cell, stopped

WRITERS = {"batch_rows_min": "5", "batch_rows_max": "5", "writers": "8"}


def test_batches_of_many_writers_are_committed_in_order(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.add_instances(103)

    ended = map_cell(cloud, cell, **WRITERS)

    batches = cloud.journal(cell)
    assert complete(mapped=103) == ended
    assert [batch["batch"] for batch in batches] == list(range(1, 22))
    assert all(one["upto_id"] == two["after_id"] for one, two in pairwise(batches))


def test_row_that_is_refused_undoes_no_batch_for_good(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    poison.poison(cloud)
    cell.add_instances(42)
    bad = cell.add_instance(project_id=poison.PROJECT)
    good = cell.add_instances(61)

    ended = map_cell(cloud, cell, **WRITERS)

    assert stopped(65, mapped=103, rejected=1) == ended
    assert bad not in cloud.mappings()
    assert good[0] in cloud.mappings()


def test_mappings_here_and_there_are_met(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell, other = cloud.add_cell("cell1"), cloud.add_cell("cell2")
    uuids = cell.add_instances(100)
    cloud.map_to(cell.id, uuids[20:60:3])
    cloud.map_to(other.id, uuids[21:60:3])
    cloud.map_to(None, uuids[80:90])

    ended = map_cell(cloud, cell, **WRITERS)

    assert complete(already=14, moved=13, filled=10, mapped=63) == ended
    assert {row.cell_id for row in cloud.mappings().values()} == {cell.id}


@pytest.mark.parametrize("rows", [1, 5, 12])
def test_max_rows_is_kept_by_many_writers(make_cloud: MakeCloud, rows: int) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.add_instances(30)

    ended = map_cell(cloud, cell, max_rows=str(rows), **WRITERS)

    assert stopped(75, mapped=rows) == ended
    assert len(cloud.mappings()) == rows


@pytest.mark.only_on("mysql", "postgresql")
@pytest.mark.parametrize(("ratio", "writers"), [(0, 2), (0.5, 1)])
def test_no_other_batch_is_written_while_a_run_sleeps_after_one(
    make_cloud: MakeCloud, ratio: float, writers: int
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cloud.configure(cellmap={"sleep_ratio": ratio, "max_slowdown": "none"})

    with opened(cloud, cell) as inside:
        prepare(inside)
        pipeline = Pipeline(
            Batches(inside, "0001"),
            plan_of(inside),
            BatchSize(lambda: 0.5, least=1, most=1),
            bound=0,
            reached=lambda _rows, _upto_id: None,
        )

    assert pipeline.writers == writers


@pytest.mark.only_on("postgresql")
def test_operator_changes_the_number_of_writers_of_a_walk(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    changes = [("writers", "4"), ("sleep_ratio", "2"), ("sleep_ratio", DEFAULT)]
    cell = cloud.add_cell("cell1")
    cloud.configure(cellmap={"max_slowdown": "none"})

    with opened(cloud, cell) as inside:
        prepare(inside)
        pipeline = Pipeline(
            Batches(inside, "0001"),
            plan_of(inside),
            BatchSize(lambda: 0.5, least=1, most=1),
            bound=0,
            reached=lambda _rows, _upto_id: None,
        )
        found = [pipeline.writers]
        for change in changes:
            record(inside, setting(*change))
            inside.control.look()
            found.append(pipeline.writers)

    assert found == [2, 4, 1, 4]


def test_page_that_was_archived_while_it_was_read_does_not_end_the_walk(
    make_cloud: MakeCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.add_instances(100)
    instances, nth_id = cell.instances, read.nth_id
    pages = []

    def archiving(database: Database, after_id: int, **given: Any) -> int | None:
        found = nth_id(database, after_id, **given)
        # The comparison cuts a table into ranges in the same way.
        if "ids" not in given:
            pages.append(after_id)
            if len(pages) == 2:
                ids = instances.c.id
                with cell.engine.begin() as connection:
                    connection.execute(
                        instances.delete().where(ids > after_id, ids <= found)
                    )
        return found

    monkeypatch.setattr(read, "nth_id", archiving)

    ended = map_cell(cloud, cell, batch_rows_min="10", batch_rows_max="10")

    batches = cloud.journal(cell)
    assert complete(mapped=90) == ended
    assert [batch["mapped"] for batch in batches] == [10] * 9
    assert_books_balance(cloud, cell)
