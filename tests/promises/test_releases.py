"""Every release of nova that has instance_mappings, also two of them in one cloud."""

from datetime import datetime
from typing import Any

import pytest

from cellmap_migrations.testing.cell import Cell
from cellmap_migrations.testing.rows import LONG_AGO, PROJECT, USER, Mapped, known
from cellmap_migrations.testing.schema import RELEASES
from tests.conftest import MakeCloud
from tests.harness.upgrading import complete, map_cell, stopped

KINDS = ("sqlite", "mysql", "postgresql")


def expected(cell: Cell, mapping: Mapped, **columns: object) -> Mapped:
    """Return what the mapping of a plain server of *cell* has to be."""
    values: dict[str, Any] = {
        "project_id": PROJECT,
        "created_at": LONG_AGO,
        **known(
            cell.api.instance_mappings, {"user_id": USER, "queued_for_delete": False}
        ),
        **known(cell.api.instance_mappings, columns),
    }
    return Mapped(
        id=mapping.id,
        instance_uuid=mapping.instance_uuid,
        cell_id=cell.id,
        updated_at=mapping.updated_at,
        **values,
    )


@pytest.mark.parametrize("release", RELEASES)
def test_mapping_has_the_columns_of_the_release(
    make_cloud: MakeCloud, release: str
) -> None:
    cloud = make_cloud(release=release)
    cell = cloud.add_cell("cell1")
    live, deleted = cell.add_instance(), cell.add_instance(deleted=True)

    ended = map_cell(cloud, cell)

    assert complete(mapped=2) == ended
    found = cloud.mappings()
    assert expected(cell, found[live]) == found[live]
    assert expected(cell, found[deleted], queued_for_delete=True) == found[deleted]
    assert isinstance(found[live].updated_at, datetime)


@pytest.mark.parametrize("release", ["liberty", "rocky"])
def test_user_matters_only_where_mappings_have_one(
    make_cloud: MakeCloud, release: str
) -> None:
    cloud = make_cloud(release=release)
    cell = cloud.add_cell("cell1")
    cell.add_instance(user_id=None)

    ended = map_cell(cloud, cell)

    assert complete(mapped=1) == ended


@pytest.mark.parametrize(
    ("api_release", "cell_release"),
    [("34", "liberty"), ("34", "stein"), ("liberty", "34"), ("stein", "rocky")],
)
def test_api_and_cell_may_be_of_different_releases(
    make_cloud: MakeCloud, api_release: str, cell_release: str
) -> None:
    cloud = make_cloud(release=api_release)
    cell = cloud.add_cell("cell1", release=cell_release)
    uuid = cell.add_instance()

    ended = map_cell(cloud, cell)

    assert complete(mapped=1) == ended
    assert expected(cell, cloud.mappings()[uuid]) == cloud.mappings()[uuid]


def test_other_cell_of_a_release_without_hidden_can_be_asked(
    make_cloud: MakeCloud,
) -> None:
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    other = cloud.add_cell("cell2", release="stein")
    uuid = other.add_instance()
    cell.add_instance(uuid=uuid)
    cloud.map(uuid, other)

    ended = map_cell(cloud, cell)

    assert stopped(65, conflict=1) == ended


@pytest.mark.parametrize("kind", KINDS)
def test_cell_may_be_on_another_database_system(
    make_cloud: MakeCloud, kind: str
) -> None:
    cloud = make_cloud(cell_backend=kind)
    cell = cloud.add_cell("cell1")
    live, deleted = cell.add_instance(), cell.add_instance(deleted=True)
    cell.add_instance(hidden=True)
    cell.add_instance(created_at=None)

    ended = map_cell(cloud, cell)

    assert complete(mapped=3, hidden=1) == ended
    found = cloud.mappings()
    assert expected(cell, found[live]) == found[live]
    assert expected(cell, found[deleted], queued_for_delete=True) == found[deleted]


@pytest.mark.parametrize("kind", KINDS)
def test_other_cell_may_be_on_another_database_system(
    make_cloud: MakeCloud, kind: str
) -> None:
    cloud = make_cloud()
    cell, other = cloud.add_cell("cell1"), cloud.add_cell("cell2", backend=kind)
    moved, stays = cell.add_instance(), other.add_instance()
    cell.add_instance(uuid=stays, deleted=True)
    cloud.map_to(other.id, [moved, stays])

    ended = map_cell(cloud, cell)

    assert complete(moved=1, elsewhere=1) == ended
