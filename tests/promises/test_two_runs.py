"""Two runs of one cell: one of them works, the other writes nothing that counts."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from cellmap_migrations.bookkeeping import versions
from cellmap_migrations.databases.database import Database
from cellmap_migrations.nova.cells import CellMapping
from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.process import Finished
from tests.conftest import MakeCloud
from tests.harness.books import HEAD, assert_books_balance, total
from tests.harness.cloud import Cloud
from tests.harness.inside import alembic_inside

BATCH = 10

SMALL = {"batch_rows_min": str(BATCH), "batch_rows_max": str(BATCH)}

ROWS = 40 * BATCH


def assert_mapped_once(cloud: Cloud, cell: Cell, uuids: list[str]) -> None:
    """Check the mappings, the journal and the stamp at the end of both runs."""
    assert cloud.mapped_uuids(cell) == set(uuids)
    assert total(cloud.journal(cell), "mapped") == len(uuids)
    assert cloud.versions() == {cell.uuid: HEAD}
    assert_books_balance(cloud, cell)


def test_two_at_once(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(ROWS)

    runs = [cloud.start("upgrade", "head", cell="cell1", x=SMALL) for _ in range(2)]
    codes = sorted(run.wait().code for run in runs)

    assert codes in ([0, 0], [0, 75])
    assert_mapped_once(cloud, cell, uuids)


def test_first_runs_of_two_cells_at_once(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cells = [cloud.add_cell("cell1"), cloud.add_cell("cell2")]
    uuids = [cell.add_instances(BATCH) for cell in cells]

    frozen = cloud.start_frozen("before CREATE TABLE #1", cell="cell1")
    other = cloud.alembic("upgrade", "head", cell="cell2")
    frozen.thaw()

    assert [frozen.wait().code, other.code] == [0, 0]
    assert [set(some) for some in uuids] == [cloud.mapped_uuids(cell) for cell in cells]
    assert cloud.versions() == {cell.uuid: HEAD for cell in cells}


def frozen_while_another_finishes(cloud: Cloud, moment: str) -> None:
    """Freeze a run at *moment*, and thaw it when another one has done all."""
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(ROWS)

    frozen = cloud.start_frozen(moment, cell="cell1", x=SMALL)
    other = cloud.alembic("upgrade", "head", cell="cell1", x=SMALL)
    books = cloud.journal(cell)
    frozen.thaw()
    thawed = frozen.wait()

    assert (other.code, other.err) == (0, "")
    assert thawed.code == 75
    assert "another run" in thawed.err
    assert cloud.journal(cell) == books
    assert_mapped_once(cloud, cell, uuids)


def test_frozen_while_another_finishes(make_cloud: MakeCloud) -> None:
    frozen_while_another_finishes(
        make_cloud(), "before INSERT INTO instance_mappings #5"
    )


# While one batch is read another one is written, and on SQLite a run that is frozen in
# a transaction keeps everybody out.
@pytest.mark.only_on("mysql", "postgresql")
@pytest.mark.parametrize(
    "moment", ["before FROM instances #5", "after INSERT INTO instance_mappings #5"]
)
def test_frozen_in_a_transaction_while_another_finishes(
    make_cloud: MakeCloud, moment: str
) -> None:
    frozen_while_another_finishes(make_cloud(), moment)


def test_frozen_before_the_comparison_and_nothing_is_left(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(ROWS)

    frozen = cloud.start_frozen("before count_1, coalesce( #1", cell="cell1", x=SMALL)
    other = cloud.alembic("upgrade", "head", cell="cell1", x=SMALL)
    frozen.thaw()
    thawed = frozen.wait()

    assert other.code == 0
    assert thawed.code == 75
    assert "another run recorded a revision" in thawed.err
    assert_mapped_once(cloud, cell, uuids)


def test_race_for_the_stamp(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(ROWS)

    frozen = cloud.start_frozen("before INSERT INTO cellmap_version #1", cell="cell1")
    other = cloud.alembic("upgrade", "head", cell="cell1")
    frozen.thaw()
    thawed = frozen.wait()
    third = cloud.alembic("upgrade", "head", cell="cell1")

    assert [other.code, thawed.code, third.code] == [0, 75, 0]
    assert "another run recorded a revision" in thawed.err
    assert_mapped_once(cloud, cell, uuids)


def test_downgrade_between_the_comparison_and_the_record(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(BATCH)

    frozen = cloud.start_frozen("before INSERT INTO cellmap_version #1", cell="cell1")
    removing = {"remove_mappings": "yes"}
    other = cloud.alembic("downgrade", "base", cell="cell1", x=removing)
    frozen.thaw()
    thawed = frozen.wait()

    assert (other.code, thawed.code) == (0, 75)
    assert "another run" in thawed.err
    assert (cloud.mapped_uuids(cell), cloud.versions()) == (set(), {})
    assert cloud.alembic("upgrade", "head", cell="cell1").code == 0
    assert cloud.mapped_uuids(cell) == set(uuids)


@pytest.mark.only_on("mysql", "postgresql")
def test_run_that_does_0001_again_is_no_other_run(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(BATCH)

    frozen = cloud.start_frozen("before INSERT INTO cellmap_version #1", cell="cell1")
    assert cloud.sessions().end_all() > 0
    uuids += cell.add_instances(BATCH)
    frozen.thaw()
    thawed = frozen.wait()

    assert thawed.code == 0, thawed.err
    assert_mapped_once(cloud, cell, uuids)


def test_reset_between_two_records(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(BATCH)

    frozen = cloud.start_frozen("before UPDATE cellmap_version #1", cell="cell1")
    other = cloud.cellmap("reset", "--cell", "cell1")
    frozen.thaw()
    thawed = frozen.wait()

    assert (other.code, thawed.code) == (0, 75)
    assert "another run recorded a revision" in thawed.err
    assert cloud.versions() == {}
    assert cloud.alembic("upgrade", "head", cell="cell1").code == 0
    assert_mapped_once(cloud, cell, uuids)


def test_batch_of_another_run_at_the_same_place_is_not_taken_for_ones_own(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(ROWS)
    x = {**SMALL, "writers": "1"}

    frozen = cloud.start_frozen(
        "before INSERT INTO instance_mappings #5", cell="cell1", x=x
    )
    one_batch = {**x, "max_rows": str(BATCH)}
    other = cloud.alembic("upgrade", "head", cell="cell1", x=one_batch)
    books = cloud.journal(cell)
    frozen.thaw()
    thawed = frozen.wait()

    assert (len(books), other.code, thawed.code) == (5, 75, 75)
    assert "another run" in thawed.err
    assert cloud.journal(cell) == books
    assert cloud.alembic("upgrade", "head", cell="cell1", x=x).code == 0
    assert_mapped_once(cloud, cell, uuids)


def run_beside(
    monkeypatch: pytest.MonkeyPatch, cloud: Cloud, *, first: bool
) -> list[Finished]:
    """Let another run upgrade cell1 next to the connection of this run's version.

    *first*: before this run connects, which has read by then that nothing is recorded.
    Otherwise after this run has recorded its revisions. Return the runs that ended.
    """
    connection, ended = versions.connection, []

    def upgrade() -> None:
        ended.append(cloud.alembic("upgrade", "head", cell="cell1"))

    @contextmanager
    def connecting(
        api: Database, mapping: CellMapping, **proved: bool
    ) -> Iterator[sa.Connection]:
        if first:
            upgrade()
        with connection(api, mapping, **proved) as opened:
            yield opened
        if not first:
            upgrade()

    monkeypatch.setattr(versions, "connection", connecting)
    return ended


def test_another_run_records_all_before_alembic_reads_the_version(
    make_cloud: MakeCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(BATCH)
    others = run_beside(monkeypatch, cloud, first=True)

    finished = alembic_inside(cloud, "upgrade", "head", cell="cell1")

    assert [other.code for other in others] == [0]
    assert (finished.code, finished.out, finished.err) == (0, "", "")
    assert_mapped_once(cloud, cell, uuids)


def test_another_run_goes_on_from_the_revision_that_this_one_recorded(
    make_cloud: MakeCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(BATCH)
    others = run_beside(monkeypatch, cloud, first=False)

    finished = alembic_inside(cloud, "upgrade", "0001", cell="cell1")

    assert [other.code for other in others] == [0]
    assert finished.code == 75
    assert "another run recorded a revision" in finished.err
    assert_mapped_once(cloud, cell, uuids)
