"""The tables of these tests are those that nova itself builds."""

import json
from pathlib import Path

import pytest

from cellmap_migrations.testing.schema import RELEASES, api_tables, cell_tables
from tests.conftest import MakeCloud
from tests.harness.dump import Facts, facts

NOVA34 = Path(__file__).parents[2] / "harness" / "nova34.json"

ADDED = {
    "rocky": {
        "cell_mappings": {"disabled"},
        "instance_mappings": {"queued_for_delete"},
    },
    "stein": {"instance_mappings": {"user_id"}},
    "34": {"instances": {"hidden", "compute_id"}},
}


@pytest.fixture(scope="module")
def nova34() -> dict[str, Facts]:
    """Return the facts of nova 34's tables that tests/harness/dump.py has written."""
    found: dict[str, Facts] = json.loads(NOVA34.read_text())
    return found


def test_tables_of_34_are_those_that_nova_manage_builds(
    make_cloud: MakeCloud, backend: str, nova34: dict[str, Facts]
) -> None:
    cloud = make_cloud(release="34")
    cell = cloud.add_cell("cell1")

    found = facts(cloud.url, list(cloud.tables)) | facts(cell.url, list(cell.tables))

    assert nova34[backend] == found


def test_columns_of_34_have_the_order_of_nova_manage(nova34: dict[str, Facts]) -> None:
    tables = api_tables("34").tables | cell_tables("34").tables

    found = {name: list(table.c.keys()) for name, table in tables.items()}

    for backend in nova34.values():
        assert {
            name: list(table["columns"]) for name, table in backend.items()
        } == found


@pytest.mark.parametrize("release", RELEASES)
def test_tables_of_every_release_can_be_built(
    make_cloud: MakeCloud, release: str
) -> None:
    cloud = make_cloud(release=release)
    cell = cloud.add_cell("cell1")
    uuids = cell.add_instances(3)

    assert uuids == cell.uuids()
