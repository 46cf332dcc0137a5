"""The version scripts, as a history."""

from itertools import pairwise

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from tests.conftest import MakeCloud
from tests.harness.cloud import ROOT
from tests.harness.inside import alembic_inside


@pytest.fixture
def scripts() -> ScriptDirectory:
    """The history, read as alembic reads it; no database is needed."""
    return ScriptDirectory.from_config(Config(ROOT / "alembic.ini"))


def test_history_has_one_base_and_one_head(scripts: ScriptDirectory) -> None:
    assert (len(scripts.get_bases()), len(scripts.get_heads())) == (1, 1)


def test_ids_are_consecutive(scripts: ScriptDirectory) -> None:
    ids = [script.revision for script in reversed([*scripts.walk_revisions()])]

    assert [f"{number:04}" for number in range(1, len(ids) + 1)] == ids


def test_each_script_follows_the_one_before(scripts: ScriptDirectory) -> None:
    history = list(reversed([*scripts.walk_revisions()]))

    for before, after in pairwise(history):
        assert before.revision == after.down_revision


def test_cell_can_be_walked_up_and_down_and_up_again(
    make_cloud: MakeCloud, scripts: ScriptDirectory
) -> None:
    cloud = make_cloud()
    cell, other = cloud.add_cell("cell1"), cloud.add_cell("cell2")
    ours, novas = cell.add_instances(5), cell.add_instances(2)
    cell.add_instance(deleted=True)
    cloud.map_to(cell.id, novas)
    cloud.map_to(other.id, other.add_instances(3))
    before = cloud.mappings()
    down = {"remove_mappings": "yes"}

    first = alembic_inside(cloud, "upgrade", "head", cell="cell1")
    mapped = cloud.mappings()
    back = alembic_inside(cloud, "downgrade", "base", cell="cell1", x=down)
    unmapped = cloud.mappings()
    version = cloud.versions()
    again = alembic_inside(cloud, "upgrade", "head", cell="cell1")

    assert [first.code, back.code, again.code] == [0, 0, 0]
    assert set(mapped) == {*before, *cell.uuids()}
    assert {uuid: mapped[uuid].cell_id for uuid in ours} == dict.fromkeys(ours, cell.id)
    assert before == unmapped
    assert version == {}
    assert cloud.versions() == {cell.uuid: scripts.get_current_head()}
    assert set(cloud.mappings()) == set(mapped)


def test_each_revision_can_be_stepped_over_alone(
    make_cloud: MakeCloud, scripts: ScriptDirectory
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.add_instances(3)
    ids = [script.revision for script in reversed([*scripts.walk_revisions()])]
    down = {"remove_mappings": "yes"}

    up = []
    for _ in ids:
        alembic_inside(cloud, "upgrade", "+1", cell="cell1")
        up.append(cloud.versions()[cell.uuid])
    for _ in ids:
        alembic_inside(cloud, "downgrade", "-1", cell="cell1", x=down)

    assert ids == up
    assert cloud.versions() == {}
    assert cloud.mappings() == {}


def test_downgrade_of_one_cell_leaves_the_other(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    cell, other = cloud.add_cell("cell1"), cloud.add_cell("cell2")
    cell.add_instances(3)
    theirs = other.add_instances(4)
    alembic_inside(cloud, "upgrade", "head", cell="all")

    down = {"remove_mappings": "yes"}
    finished = alembic_inside(cloud, "downgrade", "base", cell="cell1", x=down)

    assert finished.code == 0
    assert list(cloud.versions()) == [other.uuid]
    assert set(theirs) == set(cloud.mappings())


def test_downgrade_asks_for_a_word_before_it_removes_mappings(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    cell.add_instances(3)
    alembic_inside(cloud, "upgrade", "0001", cell="cell1")
    before = cloud.mappings()

    finished = alembic_inside(cloud, "downgrade", "base", cell="cell1")

    assert finished.code == 78
    assert finished.err == (
        f"error: a downgrade of cell cell1 ({cell.uuid}) removes mappings, and on a "
        "live cloud their instances answer 404 from then on; add -x "
        "remove_mappings=yes, or --remove-mappings to cellmap, to do it\n"
    )
    assert before == cloud.mappings()
    assert cloud.versions() == {cell.uuid: "0001"}
