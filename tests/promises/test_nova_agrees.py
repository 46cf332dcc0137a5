"""After an upgrade nova's own commands find what they should, and nothing to do."""

from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa

from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.process import Finished
from cellmap_migrations.testing.rows import CELL0, now
from cellmap_migrations.testing.servers import Server
from tests.harness.asking import NEWEST, Nova
from tests.harness.cloud import Cloud
from tests.harness.manage import NovaCloud

PLACEHOLDER = "00000000-0000-0000-0000-000000000000"

# What `cell_v2 verify_instance` answers.
MAPPED, UNMAPPED, NO_CELL, DELETED = 0, 1, 2, 3


def every_kind(cloud: Cloud, cell: Cell, other: Cell) -> dict[str, int]:
    """Add instances of every kind; return what nova should say of each later."""
    uuids = cell.add_instances(8)
    plain, already, filled, booting, moved, hidden, old, conflict = uuids
    cloud.map(already, cell)
    cloud.map(filled, None)
    cell.update(booting, created_at=now())
    cloud.map(booting, None, created_at=now())
    cloud.map(moved, other)
    cell.update(hidden, hidden=True)
    cell.update(old, created_at=None)
    deleted = cell.add_instance(deleted=True)
    soft = cell.add_instance(vm_state="soft-delete")
    elsewhere = cell.add_instance(deleted=True)
    other.add_instance(uuid=elsewhere)
    cloud.map(elsewhere, other)
    other.add_instance(uuid=conflict)
    cloud.map(conflict, other)
    cell.add_instance(uuid=PLACEHOLDER, deleted=True)
    return {
        **dict.fromkeys([plain, already, filled, moved, old, soft], MAPPED),
        **dict.fromkeys([elsewhere, conflict], MAPPED),
        hidden: UNMAPPED,
        booting: NO_CELL,
        deleted: DELETED,
    }


@pytest.fixture(scope="module")
def upgraded(
    tmp_path_factory: pytest.TempPathFactory, cellmap_server: Callable[[str], Server]
) -> Iterator[tuple[NovaCloud, Cell, Finished, dict[str, int]]]:
    """Let nova build a cloud, and upgrade its first cell."""
    folder = tmp_path_factory.mktemp("nova")
    nova = Nova(NEWEST)
    cloud = NovaCloud(folder, cellmap_server, nova)
    cloud.add_cell("cell0", uuid=CELL0)
    cell, other = cloud.add_cell("cell1"), cloud.add_cell("cell2")
    expected = every_kind(cloud, cell, other)
    finished = cloud.alembic("upgrade", "head", cell="cell1")
    yield cloud, cell, finished, expected
    cloud.close()
    nova.close()


Upgraded = tuple[NovaCloud, Cell, Finished, dict[str, int]]


def test_only_the_conflict_keeps_the_cell_from_its_stamp(upgraded: Upgraded) -> None:
    _, __, finished, ___ = upgraded

    assert finished.code == 65
    assert "1 conflict" in finished.err


def test_verify_instance_answers_as_it_should(upgraded: Upgraded) -> None:
    cloud, _, __, expected = upgraded

    found = cloud.ask("verify", [*expected])

    assert dict(zip(expected, found, strict=True)) == expected


def test_nova_finds_nothing_left_to_map_but_its_placeholder(upgraded: Upgraded) -> None:
    cloud, cell, _, __ = upgraded
    before = cloud.mappings().keys()

    finished = cloud.manage("cell_v2", "map_instances", "--cell_uuid", cell.uuid)

    # nova maps the all-zero uuid that it left in every cell to the first one.
    assert (finished.code, cloud.mappings().keys() - before) == (0, {PLACEHOLDER})


def test_nova_archives_and_syncs_as_before(upgraded: Upgraded) -> None:
    cloud, cell, _, __ = upgraded
    deleted = sa.select(cell.instances.c.uuid).where(cell.instances.c.deleted != 0)

    archived = cloud.manage(
        "db", "archive_deleted_rows", "--all-cells", "--until-complete"
    )
    synced = cloud.manage("api_db", "sync")

    with cell.engine.connect() as connection:
        assert connection.execute(deleted).all() == []
    assert (archived.code, synced.code) == (1, 0)


def test_api_schema_version_of_nova_is_untouched(upgraded: Upgraded) -> None:
    cloud, _, __, ___ = upgraded

    assert cloud.manage("api_db", "version").out.split()[-1] == "cdeec0c85668"
