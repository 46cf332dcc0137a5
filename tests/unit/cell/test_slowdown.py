"""A run measures how long others wait on real servers, and then writes less."""

from collections.abc import Iterator
from unittest import mock

import pytest
import sqlalchemy as sa

from cellmap_migrations.bookkeeping import tables
from cellmap_migrations.bookkeeping.requests import DEFAULT
from cellmap_migrations.cell import slowdown as module
from cellmap_migrations.cell.cell import Cell
from cellmap_migrations.cell.pace import ENOUGH, FIRST, LEAST, Pace
from cellmap_migrations.cell.slowdown import Neighbours, Slowdown
from cellmap_migrations.copying.batches import first_batch_size
from cellmap_migrations.testing.process import Finished
from tests.conftest import MakeCloud
from tests.harness import statements
from tests.harness.books import HEAD
from tests.harness.cloud import Cloud
from tests.harness.inside import alembic_inside, cellmap_inside, opened
from tests.harness.requests import record, setting

pytestmark = pytest.mark.only_on("mysql", "postgresql")

# One batch has ten rows, and each look for others follows the last one at once.
SMALL = {"batch_rows_min": "10", "batch_rows_max": "10"}

ROWS = 2_000

# The trigger of the probe's INSERT does *what* while the table ``slow`` has a row.
TRIGGER = {
    "mysql": """
        CREATE TRIGGER slow BEFORE INSERT ON cellmap_version FOR EACH ROW
        IF NEW.version_num = '' AND EXISTS (SELECT 1 FROM slow) THEN {what}; END IF
    """,
    "postgresql": """
        CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF EXISTS (SELECT 1 FROM slow) THEN {what}; END IF; RETURN NEW; END $$;
        CREATE TRIGGER slow BEFORE INSERT ON cellmap_version FOR EACH ROW
        WHEN (NEW.version_num = '') EXECUTE FUNCTION slow()
    """,
}

WAIT = {"mysql": "SET @slept = SLEEP(0.5)", "postgresql": "PERFORM pg_sleep(0.5)"}

DEADLOCK = {
    "mysql": "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213",
    "postgresql": "RAISE SQLSTATE '40001'",
}

REFUSE = {"mysql": "SIGNAL SQLSTATE '45000'", "postgresql": "RAISE SQLSTATE '42501'"}


@pytest.fixture
def cloud(make_cloud: MakeCloud) -> Cloud:
    """A cloud with one cell."""
    made = make_cloud()
    made.add_cell("cell1").add_instances(30)
    return made


@pytest.fixture
def inside(cloud: Cloud) -> Iterator[Cell]:
    """Give the cell to a version script, after its tables were created."""
    with opened(cloud, cloud.cells[0]) as inside:
        tables.create_tables(inside.api)
        yield inside


def commit(cloud: Cloud, times: int) -> None:
    """Commit so many transactions, as others do."""
    rows = cloud.tables["build_requests"].c.id
    for _ in range(times):
        cloud.execute(sa.delete(rows.table).where(rows == 0))
        cloud.execute(cloud.instance_mappings.insert().values(MAPPING))
        cloud.execute(cloud.instance_mappings.delete().filter_by(**MAPPING))


MAPPING = {"instance_uuid": "not of any cell", "project_id": "others"}


def test_only_transactions_of_others_count(cloud: Cloud, inside: Cell) -> None:
    neighbours = Neighbours(inside.api)
    found = [neighbours.look()]
    for _ in range(50):
        record(inside, setting("writers", "1"))
    neighbours.look()
    ours = neighbours.seen[-1][1]
    commit(cloud, 50)
    found.append(neighbours.look())

    # The server has some transactions of its own, such as those of a vacuum.
    assert ours - neighbours.seen[0][1] < 25
    assert neighbours.seen[-1][1] - ours >= 100
    assert found == [None, True]


def test_probe_leaves_nothing_behind(cloud: Cloud, inside: Cell) -> None:
    slowdown = inside.throttle.slowdown
    slowdown.has_neighbours = True

    for _ in range(ENOUGH):
        slowdown.measure_sleeping()

    assert slowdown.pace.alone.count == ENOUGH
    assert cloud.rows("cellmap_version") == []


def test_run_has_less_room_while_others_wait(inside: Cell) -> None:
    slowdown = inside.throttle.slowdown
    slowdown.has_neighbours, found = True, []
    for room in (8.0, 2.5, 1.0, 0.25):
        slowdown.pace.room = room
        target = first_batch_size(inside).seconds()
        ratio = inside.throttle.sleep_ratio
        found.append((slowdown.writers(own=4), target, ratio))

    assert found == [(4, 0.5, 0), (2, 0.5, 0), (1, 0.5, 0), (1, 0.125, 3)]


def test_operator_ends_and_changes_the_limit(inside: Cell) -> None:
    slowdown = inside.throttle.slowdown
    slowdown.has_neighbours, slowdown.pace.room = True, 0.5
    found = []
    for value in ("none", "1.5", DEFAULT):
        record(inside, setting("max_slowdown", value))
        inside.control.look()
        found.append((slowdown.bound, slowdown.writers(own=2), slowdown.share))

    assert found == [(float("inf"), 2, 1.0), (1.5, 1, 0.5), (2.0, 1, 0.5)]


def test_longer_one_of_two_sleeps_counts(inside: Cell) -> None:
    slowdown = inside.throttle.slowdown
    slowdown.has_neighbours, found = True, []
    record(inside, setting("sleep_ratio", "2"))
    inside.control.look()
    for room in (0.5, 0.25):
        slowdown.pace.room = room
        found.append((inside.throttle.sleep_ratio, inside.throttle.why_sleep.option))

    assert found == [(2, "sleep_ratio"), (3, "max_slowdown")]


def make_slow(cloud: Cloud, what: dict[str, str]) -> None:
    """Do *what* in the server to a probe while the table ``slow`` has a row."""
    backend = cloud.url.get_backend_name()
    cloud.sql("CREATE TABLE slow (id INTEGER)")
    cloud.sql("CREATE TABLE one AS SELECT 1 AS id")
    cloud.sql(TRIGGER[backend].format(what=what[backend]))


def upgrade_beside_others(
    cloud: Cloud, *, slow: range, **x: str
) -> tuple[Finished, list[float]]:
    """Upgrade cell1 in small batches beside others; return its end and its rooms.

    Of the probes beside a batch, those with a number in *slow* are made slow.
    """
    rooms: list[float] = []
    probed = 0
    adapt, measure = Pace.adapt, Slowdown.measure_writing

    def adapting(pace: Pace, bound: float, most: float) -> None:
        adapt(pace, bound, most)
        rooms.append(pace.room)

    def measuring(slowdown: Slowdown) -> None:
        nonlocal probed
        probed += 1
        # Each of these is a transaction of others, too.
        number = 1 if probed in slow else 0
        cloud.sql(f"INSERT INTO slow SELECT id FROM one WHERE id = {number}")
        measure(slowdown)
        cloud.sql("DELETE FROM slow")

    with (
        mock.patch.multiple(
            module, SECOND_LOOK=0.0, EVERY=0.0, WRITING=0.0, REST_EVERY=0.0
        ),
        mock.patch.object(Pace, "adapt", adapting),
        mock.patch.object(Slowdown, "measure_writing", measuring),
    ):
        finished = alembic_inside(
            cloud, "upgrade", "head", cell="cell1", x={**SMALL, **x}
        )
    return finished, rooms


def assert_mapped(cloud: Cloud, finished: Finished) -> None:
    """Assert that the run has mapped all instances."""
    [cell] = cloud.cells
    assert finished.code == 0, finished.err
    assert cloud.mapped_uuids(cell) == set(cell.uuids())
    assert cloud.versions() == {cell.uuid: HEAD}


@pytest.fixture
def tabled(cloud: Cloud, inside: Cell) -> Cloud:
    """A cloud whose first cell has ROWS instances, and which has our tables."""
    del inside
    cloud.cells[0].add_instances(ROWS - 30)
    return cloud


def test_run_sleeps_while_others_wait_and_grows_again(tabled: Cloud) -> None:
    make_slow(tabled, WAIT)

    # On a busy machine latencies differ by factors without a cause.
    finished, rooms = upgrade_beside_others(
        tabled, slow=range(20, 30), max_slowdown="4"
    )

    paused = [each for each in tabled.journal(tabled.cells[0]) if each["paused"]]
    slept = [each for each in paused if each["pause_option"] == "max_slowdown"]
    assert_mapped(tabled, finished)
    assert slept
    assert slept[-1]["pause_reason"].startswith("others wait ")
    assert LEAST <= min(rooms) < FIRST
    assert rooms[-1] > min(rooms)


@pytest.mark.parametrize("what", [DEADLOCK, REFUSE])
def test_failure_of_a_probe_ends_no_run(tabled: Cloud, what: dict[str, str]) -> None:
    make_slow(tabled, what)

    finished, _ = upgrade_beside_others(tabled, slow=range(20, 40))

    assert_mapped(tabled, finished)
    assert ("max_slowdown has no effect" in finished.err) == (what is REFUSE)


def test_run_without_a_limit_sends_no_probe(tabled: Cloud) -> None:
    make_slow(tabled, WAIT)

    with statements.collected() as sent:
        finished, rooms = upgrade_beside_others(
            tabled, slow=range(0), max_slowdown="none"
        )

    assert_mapped(tabled, finished)
    assert rooms == []
    assert not [each for each in sent if each.startswith("DELETE FROM cellmap_version")]
    assert not [each for each in sent if "txid_" in each or "Com_commit" in each]


@pytest.mark.parametrize("command", ["check", "upgrade", "repair"])
def test_command_that_only_reads_sends_no_probe(cloud: Cloud, command: str) -> None:
    dry = ["--dry-run"] if command != "check" else []

    with statements.collected() as sent, mock.patch.object(module, "SECOND_LOOK", 0.0):
        finished = cellmap_inside(cloud, command, "--cell", "cell1", *dry)

    assert finished.code in {0, 3}, finished.err
    assert not [each for each in sent if each.startswith(("INSERT", "DELETE"))]
