"""Killed at moments that nobody chose, while servers come and go."""

import random

import pytest

from tests.books import total, walked
from tests.conftest import MakeCloud
from tests.nova.traffic import Traffic

KILLS = 8


@pytest.mark.only_on("mysql", "postgresql")
def test_run_killed_again_and_again_ends_right_on_a_live_cloud(
    make_cloud: MakeCloud,
) -> None:
    seed = random.randrange(10_000)
    moments = random.Random(seed)
    cloud = make_cloud()
    cell = cloud.add_cell("cell1")
    servers = cell.add_instances(6000)
    cloud.configure(cellmap={"batch_rows_min": 50, "batch_rows_max": 100})
    traffic = Traffic(cloud, cell, seed=seed)

    with traffic.flowing():
        for _ in range(KILLS):
            before = len(cloud.journal(cell))
            command = cloud.start("upgrade", "head", cell="cell1")
            batches = before + moments.randrange(1, 6)
            while command.running() and len(cloud.journal(cell)) < batches:
                traffic.stop.wait(moments.uniform(0.001, 0.02))
            command.kill9()
        finished = cloud.alembic("upgrade", "head", cell="cell1")

    assert (seed, finished.code, finished.err) == (seed, 0, "")
    assert cloud.versions() == {cell.uuid: "0003"}
    known = {*servers, *traffic.live, *traffic.deleted, *traffic.soft_deleted}
    assert cloud.mapped_uuids(cell) == known
    assert total(walked(cloud, cell), "mapped") == len(servers)
