"""Times in databases that pgloader made are UTC in every time zone of the server."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest

from cellmap_migrations.copying import pages
from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.process import Finished
from cellmap_migrations.testing.rows import LONG_AGO, now
from tests.conftest import MakeCloud
from tests.harness.books import assert_books_balance
from tests.harness.cloud import Cloud
from tests.harness.converted import convert
from tests.harness.inside import alembic_inside, cellmap_inside, opened
from tests.harness.plans import plan_of
from tests.harness.results import differences

ORPHAN = "11111111-2222-4333-8444-555555555555"

YOUNG_ORPHAN = "21111111-2222-4333-8444-555555555555"

# Either side of the grace of ten minutes, and within an hour of it.
YOUNG, OLD = timedelta(minutes=3), timedelta(minutes=40)

REMOVE = {"remove_mappings": "yes"}


@dataclass(frozen=True, kw_only=True)
class Case:
    """Kinds of both databases, and which of them were converted."""

    backend: str = "postgresql"
    cell: str = "postgresql"
    converted: tuple[str, ...]


CASES = {
    "the cell": Case(converted=("cell",)),
    "the API database": Case(converted=("api",)),
    "both": Case(converted=("cell", "api")),
    "the API database of a MariaDB cell": Case(cell="mysql", converted=("api",)),
    "the cell of a MariaDB API database": Case(backend="mysql", converted=("cell",)),
    "the cell of a SQLite API database": Case(backend="sqlite", converted=("cell",)),
}

each_case = pytest.mark.parametrize(
    ("backend", "case"),
    [(case.backend, case) for case in CASES.values()],
    indirect=["backend"],
    ids=CASES,
)


def made(make_cloud: MakeCloud, case: Case) -> tuple[Cloud, Cell]:
    """Return a cloud with one cell, of which some databases are converted."""
    cloud = make_cloud(cell_backend=case.cell)
    cell = cloud.add_cell("cell1")
    for name in case.converted:
        convert(cell.engine if name == "cell" else cloud.engine)
    return cloud, cell


def alembic(cloud: Cloud, *arguments: str, **x: str) -> Finished:
    """Run a command on cell1, which must end well."""
    options = {"output": "json", **x}
    finished = alembic_inside(cloud, *arguments, cell="cell1", x=options)
    assert finished.code == 0, finished.err
    return finished


def created(cloud: Cloud, uuids: list[str]) -> set[datetime | None]:
    """Return the created_at of the mappings of *uuids*."""
    found = cloud.mappings()
    return {found[uuid].created_at for uuid in uuids}


@each_case
def test_upgrade_writes_times_in_utc_and_downgrade_finds_them(
    make_cloud: MakeCloud, case: Case
) -> None:
    cloud, cell = made(make_cloud, case)
    plain = cell.add_instances(30)
    odd = cell.add_instance(deleted=True, user_id=None)
    soft = cell.add_instance(vm_state="soft-delete")
    novas = cell.add_instance()
    cloud.map(novas, cell)
    before = now()

    alembic(cloud, "upgrade", "head")

    found = cloud.mappings()
    assert created(cloud, [*plain, odd, soft]) == {LONG_AGO}
    stamps = {batch["stamp"] for batch in cloud.journal(cell) if batch["mapped"]}
    assert all(before <= stamp <= now() for stamp in stamps)
    assert {found[uuid].updated_at for uuid in (*plain, odd, soft)} <= stamps
    flags = {uuid: found[uuid].queued_for_delete for uuid in (plain[0], odd, soft)}
    assert flags == {plain[0]: False, odd: True, soft: True}
    assert_books_balance(cloud, cell)
    assert differences(alembic(cloud, "check")) == {}
    alembic(cloud, "downgrade", "base", **REMOVE)
    assert set(cloud.mappings()) == {novas}


@each_case
def test_lines_of_the_cell_have_times_without_a_zone(
    make_cloud: MakeCloud, case: Case
) -> None:
    cloud, cell = made(make_cloud, case)
    cell.add_instances(2)

    with opened(cloud, cell) as inside:
        page = pages.read_page(inside.database, plan_of(inside), 0, bound=9, rows=9)

    times = [line.split("\t")[-1] for line in page.lines.split("\n")]
    assert times == ["2015-10-15 12:30:00"] * 2


@each_case
def test_grace_is_counted_in_utc(make_cloud: MakeCloud, case: Case) -> None:
    cloud, cell = made(make_cloud, case)
    young = cell.add_instance(created_at=now() - YOUNG)
    old = cell.add_instance(created_at=now() - OLD)
    for uuid in (young, old):
        cloud.map(uuid, None, created_at=now() - OLD)

    finished = alembic(cloud, "upgrade", "head")

    told = json.loads(finished.out)
    assert (told["filled"], told["in_flight"]) == (1, 1)
    assert cloud.mapped_uuids(cell) == {old}


@each_case
def test_repair_counts_the_grace_in_utc(make_cloud: MakeCloud, case: Case) -> None:
    cloud, cell = made(make_cloud, case)
    unmapped = cell.add_instance()
    wrong = cell.add_instance(deleted=True)
    cloud.map(wrong, cell, queued_for_delete=False)
    flag = {"queued_for_delete": True}
    cloud.map(ORPHAN, cell, created_at=now() - OLD, **flag)
    young = {"created_at": LONG_AGO, "updated_at": now() - YOUNG}
    cloud.map(YOUNG_ORPHAN, cell, **young, **flag)
    right = cell.add_instances(2)
    cloud.map_to(cell.id, right)

    finished = cellmap_inside(cloud, "repair", "--cell", "cell1", "--output", "json")

    assert finished.code == 0, finished.err
    assert set(cloud.mappings()) == {unmapped, wrong, YOUNG_ORPHAN, *right}
    assert created(cloud, [unmapped]) == {LONG_AGO}
    assert cloud.mappings()[wrong].queued_for_delete is True


@each_case
def test_check_tells_an_hour_and_no_time_zone(
    make_cloud: MakeCloud, case: Case
) -> None:
    cloud, cell = made(make_cloud, case)
    cloud.map_to(cell.id, cell.add_instances(20))
    [off] = uuids = cell.add_instances(1)
    cloud.map_to(cell.id, uuids, created_at=LONG_AGO - timedelta(hours=1))

    finished = alembic(cloud, "check")

    found = json.loads(finished.out)["differences"]
    assert (found["created_at"]["uuids"], [*found]) == ([off], ["created_at"])
    [why] = found["created_at"]["why"]
    assert why.startswith(
        "2015-10-15 11:30:00 in its mapping, 2015-10-15 12:30:00 in the cell"
    )


@pytest.mark.only_on("postgresql")
def test_api_database_that_is_converted_after_an_upgrade_can_be_taken_back(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.add_instances(30)
    novas = cell.add_instance()
    cloud.map(novas, cell)
    alembic(cloud, "upgrade", "head")
    convert(cloud.engine)
    late = cell.add_instance()

    repaired = cellmap_inside(cloud, "repair", "--cell", "cell1")

    assert (repaired.code, created(cloud, [late])) == (0, {LONG_AGO}), repaired.err
    alembic(cloud, "downgrade", "base", **REMOVE)
    assert set(cloud.mappings()) == {novas, late}


@pytest.mark.only_on("postgresql")
def test_time_zone_of_a_role_changes_nothing(make_cloud: MakeCloud) -> None:
    cloud, cell = made(make_cloud, CASES["both"])
    for engine in (cloud.engine, cell.engine):
        role, name = engine.url.username, engine.url.database
        with cloud.server("postgresql").admin().connect() as connection:
            connection.exec_driver_sql(
                f'ALTER ROLE "{role}" IN DATABASE "{name}" '
                "SET timezone TO 'America/New_York'"
            )
    uuids = cell.add_instances(30)

    alembic(cloud, "upgrade", "head")

    assert created(cloud, uuids) == {LONG_AGO}
    assert differences(alembic(cloud, "check")) == {}
