"""A run that is killed at random moments resumes, while servers come and go."""

import random
from signal import SIGKILL

import pytest

from tests.conftest import MakeCloud
from tests.faults.struck import Struck
from tests.faults.tally import Tally
from tests.harness.moments import AT_THE_END, MOMENTS
from tests.harness.traffic import Traffic
from tests.harness.waiting import wait_for

pytestmark = pytest.mark.only_on("mysql", "postgresql")

KILLED = pytest.mark.fault(
    "a run was killed at a random moment, nova at work meanwhile"
)

# Those of the walk that are drawn each time; each costs a batch or two.
WALKING = 3

# Of the revision behind the first one, in the order of a run.
MENDING = (
    "after FOR UPDATE #1",
    "after UPDATE instance_mappings #1",
    "after COMMIT #1",
    "before UPDATE cellmap_version #1",
    "after UPDATE cellmap_version #1",
)

# Which revision is recorded after the last of these. On PostgreSQL a statement of
# Alembic's is in a transaction of its own, which was not committed yet.
RECORDED = {"mysql": "0002", "postgresql": "0001"}


def wait_for_all(traffic: Traffic) -> None:
    """Return when nova has done everything at least once."""
    done = (traffic.live, traffic.deleted, traffic.soft_deleted, traffic.archived)
    wait_for(lambda: all(done), "traffic of each kind")


def wait_for_boots(traffic: Traffic, servers: int) -> None:
    """Return when nova has booted more than so many servers."""
    wait_for(lambda: traffic.booted > servers, "servers that were booted")


def assert_unharmed(struck: Struck, traffic: Traffic) -> None:
    """Check that all is right, and that of nova's own servers nova's word counts."""
    struck.assert_right()
    flags = {
        uuid: (mapping.cell_id, mapping.queued_for_delete)
        for uuid, mapping in struck.cloud.mappings().items()
    }
    number = struck.cell.id
    gone = [*traffic.deleted, *traffic.soft_deleted]
    assert {flags[uuid] for uuid in traffic.live} == {(number, False)}
    assert {flags[uuid] for uuid in gone} == {(number, True)}
    assert not set(traffic.archived) & flags.keys()


@KILLED
def test_killed_again_and_again_on_a_live_cloud(
    make_cloud: MakeCloud, tallied: Tally, seed: int, *, thorough: bool
) -> None:
    kills, rows = (100, 80_000) if thorough else (5, 4_000)
    chosen = random.Random(seed)
    # How many batches further, and how often to look whether they are there.
    moments = [
        (chosen.randrange(1, 6), chosen.uniform(0.001, 0.02)) for _ in range(kills)
    ]
    # No run comes so far that the cell is done before the last kill.
    limit = str(rows // (kills + 1))
    struck = Struck(make_cloud(), rows, batch=25)
    cloud, cell = struck.cloud, struck.cell
    traffic = Traffic(cloud, cell, seed=seed)
    codes = []

    with traffic.flowing():
        for further, pause in moments:
            batches = len(cloud.journal(cell)) + further
            command = struck.start(max_rows=limit)
            while command.running() and len(cloud.journal(cell)) < batches:
                traffic.stop.wait(pause)
            codes.append(command.kill9().code)
        wait_for_boots(traffic, kills)
        codes = struck.finish(*codes)
        wait_for_all(traffic)

    tallied.add(*codes, times=kills, rows=rows)
    # A run may have come to its limit before this process had its turn again.
    assert (seed, {*codes[:-1]} - {75}) == (seed, {-SIGKILL})
    assert (seed, codes[-1]) == (seed, 0)
    assert_unharmed(struck, traffic)


@KILLED
def test_killed_in_walk_proof_mending_and_stamp_on_a_live_cloud(
    make_cloud: MakeCloud, backend: str, tallied: Tally, seed: int, *, thorough: bool
) -> None:
    chosen = random.Random(seed)
    walking = [
        sorted(chosen.sample(range(len(MOMENTS)), WALKING))
        for _ in range(10 if thorough else 1)
    ]
    for numbers in walking:
        struck = Struck(make_cloud(), 1_200, batch=20)
        cloud, cell = struck.cloud, struck.cell
        wrong = cell.add_instances(20, vm_state="soft-delete")
        cloud.map_to(cell.id, wrong, queued_for_delete=False, user_id=None)
        traffic = Traffic(cloud, cell, seed=seed)
        moments = [*(MOMENTS[number] for number in numbers), *AT_THE_END, *MENDING]
        codes = []

        with traffic.flowing():
            for moment in moments:
                killed = cloud.start_until(moment, SIGKILL, cell="cell1").wait()
                assert (seed, moment, killed.code) == (seed, moment, -SIGKILL)
                codes.append(killed.code)
            stamped = cloud.versions()
            wait_for_boots(traffic, len(moments))
            codes = struck.finish(*codes)
            wait_for_all(traffic)

        tallied.add(*codes, times=len(moments), rows=len(struck.servers))
        assert (seed, codes) == (seed, [*[-SIGKILL] * len(moments), 0])
        assert stamped == {cell.uuid: RECORDED[backend]}
        assert_unharmed(struck, traffic)
        found = [cloud.mappings()[uuid] for uuid in wrong]
        assert {row.queued_for_delete for row in found} == {True}
        assert None not in {row.user_id for row in found}
