"""A cell's address that leads to the wrong database loses no mapping."""

from datetime import timedelta
from signal import SIGSTOP

import pytest
import sqlalchemy as sa

from cellmap_migrations.comparing import evidence
from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.config import text
from cellmap_migrations.testing.rows import LONG_AGO
from tests.conftest import MakeCloud
from tests.harness.cloud import Cloud, wait_frozen
from tests.harness.inside import alembic_inside, last_line
from tests.harness.refusals import COMMANDS, refused, run
from tests.harness.twins import database

ROWS = 40


def half_done(cloud: Cloud) -> Cell:
    """Add a cell of which half the instances were mapped when its upgrade stopped."""
    cell = cloud.add_cell("cell1")
    cell.add_instances(ROWS)
    few = {"batch_rows_min": "10", "batch_rows_max": "10"}
    limits = {**few, "max_rows": str(ROWS // 2)}
    stopped = alembic_inside(cloud, "upgrade", "head", cell=cell.uuid, x=limits)
    assert (stopped.code, len(cloud.mapped_uuids(cell))) == (75, ROWS // 2)
    return cell


def reset_cell(cloud: Cloud, name: str) -> Cell:
    """Add a cell that was mapped, and of which it was forgotten that it was."""
    cell = cloud.add_cell(name)
    cell.add_instances(ROWS)
    assert run(cloud, cell, "upgrade").code == 0
    assert run(cloud, cell, "reset").code == 0
    return cell


def copy(cell: Cell, target: Cell, uuids: list[str]) -> None:
    """Put the rows of some instances into another database, as a dump does."""
    query = sa.select(cell.instances).where(cell.instances.c.uuid.in_(uuids))
    with cell.engine.connect() as connection:
        rows = list(map(dict, connection.execute(query).mappings()))
    with target.engine.begin() as connection:
        connection.execute(target.instances.insert(), rows)


def test_schema_without_data_is_refused(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = half_done(cloud)
    empty = database(cloud, "empty")
    cloud.lead(cell, text(empty.url))

    for command in COMMANDS:
        line = refused(cloud, cell, command)

        assert line.startswith(f"error: cell cell1 ({cell.uuid}) (")
        assert f"{empty.url.database}): 20 of the 20 mappings that name this" in line
        assert "-x accept_orphans=20, or --accept-orphans 20 for cellmap" in line


def old_copy(cloud: Cloud, cell: Cell, lacks: int) -> None:
    """Lead *cell* to a copy of its database that lacks the newest instances."""
    old = database(cloud, "old")
    copy(cell, old, cell.uuids()[:-lacks])
    cloud.lead(cell, text(old.url))


@pytest.mark.parametrize("lacks", [1, 19])
def test_old_copy_that_lacks_instances_which_were_mapped_is_refused(
    make_cloud: MakeCloud, lacks: int
) -> None:
    cloud = make_cloud()
    cell = reset_cell(cloud, "cell1")
    old_copy(cloud, cell, lacks)
    before = cloud.mappings()

    for command in COMMANDS:
        finished = run(cloud, cell, command)

        assert (finished.code, cloud.mappings(), cloud.versions()) == (65, before, {})
        line = last_line(finished)
        assert f"{lacks} of the 40 mappings that name this cell have no inst" in line
        assert "nova has not queued them for deletion" in line


def test_old_copy_that_lacks_instances_which_nova_mapped_is_refused(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cloud.map_to(cell.id, cell.add_instances(20))
    late = LONG_AGO + timedelta(days=1)
    cloud.map_to(cell.id, cell.add_instances(5, created_at=late), created_at=late)
    old_copy(cloud, cell, 5)

    line = refused(cloud, cell, "repair")

    assert "5 of the 25 mappings that name this cell have no instance" in line


def test_instance_that_is_being_archived_is_no_sign_of_a_wrong_address(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    uuid = cell.add_instance()
    cloud.map(uuid, cell)
    cell.delete(uuid)
    cell.move_to_shadow(uuid)

    assert run(cloud, cell, "upgrade").code == 0
    assert cloud.mappings().keys() == {uuid}


def test_no_more_orphans_are_removed_than_were_counted(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cloud.map_to(cell.id, cell.add_instances(ROWS))
    cloud.map_to(cell.id, ["11111111-2222-4333-8444-555555555555"])

    moment = "before DELETE FROM instance_mappings #1"
    running = cloud.start_cellmap_until(moment, SIGSTOP, "repair", "--cell", cell.uuid)
    wait_frozen(running, moment)
    with cell.engine.begin() as connection:
        connection.execute(cell.instances.delete())
    running.thaw()
    finished = running.wait()

    assert finished.code == 75, finished.err
    assert len(cloud.mappings()) == ROWS


@pytest.fixture
def exchanged(make_cloud: MakeCloud) -> tuple[Cell, Cell]:
    """Two cells that were mapped before their addresses were exchanged."""
    cloud = make_cloud()
    cells = reset_cell(cloud, "cell1"), reset_cell(cloud, "cell2")
    cloud.lead(cells[0], text(cells[1].url))
    cloud.lead(cells[1], text(cells[0].url))
    return cells


def test_exchanged_addresses_are_refused_and_the_other_cell_is_named(
    exchanged: tuple[Cell, Cell],
) -> None:
    cell, other = exchanged
    cloud = cell.api
    assert isinstance(cloud, Cloud)

    for command in COMMANDS:
        assert (
            "40 of the 40 mappings that name this cell have no instance in its "
            f"database; cell cell2 ({other.uuid}) has 40 of 40 looked for"
        ) in refused(cloud, cell, command)


def test_instances_of_a_cell_that_was_not_mapped_yet_are_not_moved(
    exchanged: tuple[Cell, Cell],
) -> None:
    cell, other = exchanged
    cloud = cell.api
    assert isinstance(cloud, Cloud)
    mappings = cloud.instance_mappings
    cloud.execute(mappings.delete().filter_by(cell_id=cell.id))

    for command in COMMANDS:
        line = refused(cloud, cell, command)

        assert line.startswith(f"error: cell cell2 ({other.uuid}) (")
        assert "accept_orphans=40" in line


@pytest.mark.parametrize(("rows", "code"), [(9, 0), (10, 65)])
def test_few_instances_say_nothing_of_the_cell_that_they_are_mapped_to(
    cloud: Cloud, rows: int, code: int
) -> None:
    cell, other = cloud.add_cell("cell1"), cloud.add_cell("other")
    uuids = cell.add_instances(rows)
    cloud.map_to(other.id, uuids)

    assert run(cloud, cell, "upgrade").code == code
    assert cloud.mapped_uuids(other if code else cell) == set(uuids)


def test_copy_of_another_cell_is_refused(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell, other = half_done(cloud), cloud.add_cell("other")
    theirs = other.add_instances(ROWS)
    cloud.map_to(other.id, theirs)
    restored = database(cloud, "restored")
    copy(other, restored, theirs)
    cloud.lead(cell, text(restored.url))

    for command in COMMANDS:
        line = refused(cloud, cell, command)

        assert line.startswith(f"error: cell cell1 ({cell.uuid}) looks like a copy of ")


@pytest.mark.parametrize("revision", ["0001", "0002"])
def test_later_revision_is_not_stamped_on_the_wrong_database(
    make_cloud: MakeCloud, revision: str
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.add_instances(ROWS)
    alembic_inside(cloud, "upgrade", revision, cell=cell.uuid)
    cloud.lead(cell, text(database(cloud, "empty").url))

    line = refused(cloud, cell, "upgrade")

    assert "40 of the 40 mappings" in line
    assert cloud.versions() == {cell.uuid: revision}


def old_cloud(cloud: Cloud) -> Cell:
    """Add a cell most of whose mappings lost their instances long ago."""
    cell = cloud.add_cell("cell1")
    gone = [f"{number:08}-0000-4000-8000-000000000000" for number in range(30)]
    cloud.map_to(cell.id, [*cell.add_instances(10), *gone])
    return cell


@pytest.mark.parametrize("command", ["upgrade", "repair"])
@pytest.mark.parametrize("count", [None, "1", "29", "44", "999999"])
def test_only_the_count_of_the_refusal_is_accepted(
    cloud: Cloud, command: str, count: str | None
) -> None:
    cell = old_cloud(cloud)
    options = [] if count is None else ["--accept-orphans", count]

    finished = run(cloud, cell, command, *options)

    assert finished.code == 65
    assert "30 of the 40 mappings" in last_line(finished)
    assert len(cloud.mappings()) == 40


@pytest.mark.parametrize("count", ["30", "43"])
def test_count_is_accepted_where_a_few_orphans_are_gone_since(
    cloud: Cloud, count: str
) -> None:
    cell = old_cloud(cloud)

    # A tenth, and ten more.
    assert run(cloud, cell, "repair", "--accept-orphans", count).code == 0


def test_operator_who_repeats_the_count_goes_on(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = old_cloud(cloud)
    x = {"accept_orphans": "30"}

    upgraded = alembic_inside(cloud, "upgrade", "head", cell=cell.uuid, x=x)
    after_upgrade = len(cloud.mappings())
    repaired = run(cloud, cell, "repair", "--accept-orphans", "30")

    assert (upgraded.code, after_upgrade) == (0, 40)
    assert repaired.code == 0, repaired.err
    assert cloud.mappings().keys() == set(cell.uuids())


def test_share_is_counted_before_a_removal_where_the_samples_show_nothing(
    make_cloud: MakeCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = make_cloud()
    cell = old_cloud(cloud)
    monkeypatch.setattr(evidence, "gather", lambda *_: [])

    line = refused(cloud, cell, "repair")

    assert "30 of the 40 mappings" in line


def test_few_orphans_are_removed_without_a_question(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cloud.map_to(cell.id, cell.add_instances(6))
    cloud.map_to(cell.id, [f"{n:08}-0000-4000-8000-000000000000" for n in range(5)])

    assert run(cloud, cell, "repair").code == 0
    assert cloud.mappings().keys() == set(cell.uuids())


def test_check_says_that_the_address_is_doubtful(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell = half_done(cloud)
    cloud.lead(cell, text(database(cloud, "empty").url))

    finished = run(cloud, cell, "check")

    assert finished.code == 3
    assert "20 of the 20 mappings that name this cell have no instance" in finished.out
    assert last_line(finished).endswith(
        "20 orphan; see first that database_connection leads to the right database"
    )


def test_refusal_says_that_the_database_is_another_one(cloud: Cloud) -> None:
    cell = half_done(cloud)
    cloud.lead(cell, text(database(cloud, "empty").url))

    said = run(cloud, cell, "upgrade").err.splitlines()

    assert len(said) == 2
    assert said[0].startswith(f"warning: cell cell1 ({cell.uuid}): its database is ")
