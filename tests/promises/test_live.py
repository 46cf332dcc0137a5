"""Upgrade, check and repair while servers are booted, deleted and archived."""

from functools import partial

import pytest

from cellmap_migrations.testing.cell import Cell
from tests.conftest import MakeCloud
from tests.harness.cloud import Cloud
from tests.harness.traffic import Traffic
from tests.harness.waiting import wait_for

# How often to compare and to repair.
TIMES = 4

# How many servers nova boots in the meantime.
MORE = 10

# How many servers of each kind nova has to have done with before the end.
ENOUGH = 10


def wrong_cell(cloud: Cloud) -> tuple[Cell, list[str]]:
    """Make a cell with everything that nova left behind; return it and its live."""
    cell = cloud.add_cell("cell1")
    unmapped = cell.add_instances(3000)
    mapped = cell.add_instances(500)
    cloud.map_to(cell.id, mapped, user_id=None)
    gone = [cell.add_instance(deleted=True) for _ in range(200)]
    cloud.map_to(cell.id, gone[:100], queued_for_delete=False)
    soft = [cell.add_instance(vm_state="soft-delete") for _ in range(50)]
    cloud.map_to(cell.id, soft, queued_for_delete=False)
    return cell, unmapped + mapped


def has_booted(traffic: Traffic, servers: int) -> bool:
    """Say whether so many servers were booted so far."""
    return traffic.booted >= servers


@pytest.mark.only_on("mysql", "postgresql")
def test_nothing_is_harmed_and_nothing_is_falsely_reported_on_a_live_cloud(
    make_cloud: MakeCloud, seed: int
) -> None:
    cloud = make_cloud()
    cell, servers = wrong_cell(cloud)
    cloud.configure(cellmap={"batch_rows_max": 200})
    traffic = Traffic(cloud, cell, seed=seed)

    with traffic.flowing():
        codes = [cloud.alembic("upgrade", "head", cell="cell1").code]
        for time in range(1, TIMES + 1):
            wait_for(partial(has_booted, traffic, time * MORE), "more servers")
            checked = cloud.alembic("check", cell="cell1")
            repaired = cloud.cellmap("repair", "--cell", "cell1")
            codes += [checked.code, repaired.code]
        wait_for(
            lambda: min(len(traffic.live), len(traffic.archived)) > ENOUGH,
            "servers that were booted, and others that were archived",
        )

    assert (seed, set(codes)) == (seed, {0})
    mappings = cloud.mappings()
    flags = {
        uuid: (mapping.cell_id, mapping.queued_for_delete)
        for uuid, mapping in mappings.items()
    }
    known = [*servers, *traffic.live]
    assert {flags[uuid] for uuid in known} == {(cell.id, False)}
    gone = [*traffic.deleted, *traffic.soft_deleted]
    assert {flags[uuid] for uuid in gone} == {(cell.id, True)}
    assert not set(traffic.archived) & mappings.keys()
    assert cloud.alembic("check", cell="cell1").code == 0
