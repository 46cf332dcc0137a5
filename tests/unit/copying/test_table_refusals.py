"""A table that refuses every row is no fault of a row: 78, and nothing is rejected."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.process import Finished
from cellmap_migrations.testing.rows import PROJECT
from tests.conftest import MakeCloud
from tests.harness import poison, readme
from tests.harness.cloud import Cloud
from tests.harness.inside import alembic_inside, cellmap_inside, last_line
from tests.harness.upgrading import journaled, map_cell, stopped

LARGEST = 2**31 - 1

SEQUENCE = "instance_mappings_id_seq"

COLUMN = "ALTER TABLE instance_mappings ADD asset VARCHAR(8) NOT NULL"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A table that is wrong after *sql*, and the block of the page that mends it."""

    backend: str
    sql: tuple[str, ...]
    cure: str
    named: str
    # The ids of mappings that are there before.
    there: Sequence[int] = range(1, 6)


FAULTS = {
    "sequence behind": Fault(
        backend="postgresql",
        sql=(f"ALTER SEQUENCE {SEQUENCE} RESTART",),
        cure="PostgreSQL: sequence behind the ids",
        named=f"sequence public.{SEQUENCE}",
    ),
    "sequence in front of a hole": Fault(
        backend="postgresql",
        sql=(f"ALTER SEQUENCE {SEQUENCE} RESTART",),
        cure="PostgreSQL: sequence behind the ids",
        named=f"sequence public.{SEQUENCE}",
        there=range(7, 70, 7),
    ),
    "sequence at its end": Fault(
        backend="postgresql",
        sql=(f"SELECT setval('{SEQUENCE}', {LARGEST})",),
        cure="PostgreSQL: sequence behind the ids",
        named=SEQUENCE,
    ),
    "sequence beyond the column": Fault(
        backend="postgresql",
        sql=(
            f"ALTER SEQUENCE {SEQUENCE} AS BIGINT",
            f"SELECT setval('{SEQUENCE}', {LARGEST})",
        ),
        cure="PostgreSQL: sequence behind the ids",
        named=SEQUENCE,
    ),
    "ids at their end on PostgreSQL": Fault(
        backend="postgresql",
        sql=(f"SELECT setval('{SEQUENCE}', {LARGEST})",),
        cure="PostgreSQL: no id left",
        named=SEQUENCE,
        there=(LARGEST,),
    ),
    "id without default on PostgreSQL": Fault(
        backend="postgresql",
        sql=("ALTER TABLE instance_mappings ALTER id DROP DEFAULT",),
        cure="PostgreSQL: id without default",
        named="column id has no default",
    ),
    "column without default on PostgreSQL": Fault(
        backend="postgresql",
        sql=(COLUMN,),
        cure="MariaDB and PostgreSQL: column without default",
        named="column asset is NOT NULL",
        there=(),
    ),
    "counter at its end": Fault(
        backend="mysql",
        sql=(f"ALTER TABLE instance_mappings AUTO_INCREMENT = {LARGEST}",),
        cure="MariaDB: counter above the ids",
        named="AUTO_INCREMENT of column id",
    ),
    "ids at their end on MariaDB": Fault(
        backend="mysql",
        sql=(),
        cure="MariaDB: no id left",
        named="AUTO_INCREMENT of column id",
        there=(LARGEST,),
    ),
    "id without default on MariaDB": Fault(
        backend="mysql",
        sql=("ALTER TABLE instance_mappings MODIFY id INTEGER NOT NULL",),
        cure="MariaDB: id without default",
        named="column id has no default",
    ),
    "column without default on MariaDB": Fault(
        backend="mysql",
        sql=(COLUMN,),
        cure="MariaDB and PostgreSQL: column without default",
        named="column asset is NOT NULL",
        there=(),
    ),
    "column without default on SQLite": Fault(
        backend="sqlite",
        # SQLite adds no column without a default to a table, even to an empty one.
        sql=(
            "ALTER TABLE instance_mappings ADD asset VARCHAR(8)",
            "PRAGMA writable_schema = ON",
            "UPDATE sqlite_master SET sql = replace(sql, '(8)', '(8) NOT NULL')",
        ),
        cure="SQLite: column without default",
        named="column asset is NOT NULL",
        there=(),
    ),
}

CASES = [(fault.backend, name) for name, fault in FAULTS.items()]

each_fault = pytest.mark.parametrize(
    ("backend", "fault"), CASES, indirect=["backend"], ids=FAULTS
)


def upgraded(cloud: Cloud, **x: str) -> Finished:
    """Upgrade the cell to head."""
    options = {"output": "json", **x}
    return alembic_inside(cloud, "upgrade", "head", cell="cell1", x=options)


def upgraded_without_rejected(cloud: Cloud) -> Finished:
    """Upgrade the cell to head with on_reject=skip."""
    return upgraded(cloud, on_reject="skip")


def repaired(cloud: Cloud) -> Finished:
    """Repair the cell."""
    return cellmap_inside(cloud, "repair", "--cell", "cell1", "--output", "json")


each_way = pytest.mark.parametrize(
    "way", [upgraded, upgraded_without_rejected, repaired]
)


def broken(cloud: Cloud, fault: Fault) -> Cell:
    """Return a cell of 20 instances without a mapping, behind a table with *fault*."""
    cell = cloud.add_cell("cell1")
    for number in fault.there:
        cloud.map(cell.add_instance(), cell, id=number)
    cell.add_instances(20)
    with cloud.engine.begin() as connection:
        for statement in fault.sql:
            connection.exec_driver_sql(statement)
    cloud.engine.dispose()
    return cell


@each_way
@each_fault
def test_table_that_refuses_every_row_ends_the_run_until_it_is_mended(
    make_cloud: MakeCloud, fault: str, way: Callable[[Cloud], Finished]
) -> None:
    cloud, wrong = make_cloud(), FAULTS[fault]
    cell = broken(cloud, wrong)
    before = mapped(cloud)

    finished = way(cloud)

    assert (finished.code, mapped(cloud)) == (78, before), finished.err
    assert (cloud.journal(cell), cloud.versions()) == ([], {})
    assert json.loads(finished.out)["rejected"] == 0
    line = last_line(finished)
    assert "table instance_mappings refuses every row" in line
    assert wrong.named in line
    for statement in readme.sql(wrong.cure):
        if not wrong.cure.endswith("column without default"):
            # The page breaks its lines.
            assert "".join(statement.split()) in "".join(line.split())
        cloud.sql(statement)
    again = way(cloud)
    assert (again.code, mapped(cloud)) == (0, set(cell.uuids())), again.err


def mapped(cloud: Cloud) -> set[str]:
    """Return the uuids that have a mapping."""
    return set(cloud.mappings())


@pytest.mark.parametrize(
    ("backend", "sql"),
    [
        ("postgresql", f"SELECT setval('{SEQUENCE}', {LARGEST - 3})"),
        ("mysql", f"ALTER TABLE instance_mappings AUTO_INCREMENT = {LARGEST - 3}"),
    ],
    indirect=["backend"],
    ids=["postgresql", "mysql"],
)
def test_ids_that_end_within_a_batch_reject_no_row(
    make_cloud: MakeCloud, sql: str
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.add_instances(20)
    cloud.sql(sql)

    ended = map_cell(cloud, cell, on_reject="skip")

    assert stopped(78) == ended, ended.err
    assert "refuses every row" in ended.err


def test_constraint_that_refuses_every_row_is_the_table_s(
    make_cloud: MakeCloud, backend: str
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.add_instances(20)
    refuse_all = {
        "sqlite": "CREATE TRIGGER no_rows BEFORE INSERT ON instance_mappings "
        "BEGIN SELECT RAISE(ABORT, 'no_rows'); END",
    }
    usual = "ALTER TABLE instance_mappings ADD CONSTRAINT no_rows CHECK (cell_id < 0)"
    cloud.sql(refuse_all.get(backend, usual))

    ended = map_cell(cloud, cell, on_reject="skip")

    assert stopped(78) == ended, ended.err
    assert "no_rows" in ended.err
    assert "correct the trigger or constraint" in ended.err


def test_constraint_that_knows_all_projects_refuses_single_rows(
    make_cloud: MakeCloud, backend: str
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cloud.map(cell.add_instance(), cell)
    bad, *good = cell.add_instance(project_id="unknown"), *cell.add_instances(20)
    refuse_unknown = {
        "sqlite": "CREATE TRIGGER known BEFORE INSERT ON instance_mappings "
        f"WHEN NEW.project_id <> '{PROJECT}' BEGIN SELECT RAISE(ABORT, 'known'); END",
    }
    check = f"CONSTRAINT known CHECK (project_id = '{PROJECT}')"
    cloud.sql(refuse_unknown.get(backend, f"ALTER TABLE instance_mappings ADD {check}"))

    ended = map_cell(cloud, cell)

    assert stopped(65, already=1, rejected=1, mapped=20) == ended
    assert bad in ended.err
    assert cloud.mappings().keys() >= {*good}


@pytest.mark.only_on("postgresql", "mysql")
def test_cell_that_was_deleted_is_not_the_table_s_fault(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.add_instances(20)
    cloud.sql(COLUMN)
    running = cloud.start_frozen(
        "before INSERT INTO instance_mappings #1", cell="cell1", x={"on_reject": "skip"}
    )
    cloud.execute(cloud.tables["cell_mappings"].delete())
    running.thaw()

    finished = running.wait()

    assert finished.code == 78
    assert "was deleted from cell_mappings" in finished.err


def test_plain_row_leaves_nothing_behind(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    bad, *good = (
        cell.add_instance(project_id=poison.PROJECT),
        *cell.add_instances(30),
    )
    poison.poison(cloud)

    ended = map_cell(cloud, cell)

    assert stopped(65, rejected=1, mapped=30) == ended
    assert mapped(cloud) == {*good}
    assert bad in ended.err
    assert journaled(cloud, cell) == {"rejected": 1, "mapped": 30}
