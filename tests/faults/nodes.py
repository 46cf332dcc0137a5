"""Cause faults of the nodes of a cluster while a cell is copied.

Each function yields the runs that it disturbs, in the order of their starts.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import count
from random import Random

import pytest

from cellmap_migrations.testing.process import Running
from cellmap_migrations.testing.rows import LONG_AGO, PROJECT, USER
from tests.faults.copying import BATCHES, SECONDS, Cause, Copy
from tests.harness.cloud import wait_frozen
from tests.harness.proxy import Proxy
from tests.harness.waiting import wait_for

COMMIT = re.compile(rb"\bCOMMIT\b")

INSERT = "after INSERT INTO instance_mappings"


@contextmanager
def killed(copy: Copy, chosen: Random) -> Iterator[Sequence[Running]]:
    """Kill the node that the run writes to, with a batch half done."""
    running = copy.frozen(INSERT, chosen.randrange(2, BATCHES))
    copy.cluster.writer(copy.cloud.url).daemon.kill()
    running.thaw()
    yield [running]


@contextmanager
def frozen(copy: Copy, chosen: Random) -> Iterator[Sequence[Running]]:
    """Freeze that node until the others have gone on without it."""
    running = copy.frozen(INSERT, chosen.randrange(2, BATCHES))
    node = copy.cluster.writer(copy.cloud.url)
    others = [other for other in copy.cluster.nodes if other is not node]
    node.freeze()
    running.thaw()
    wait_for(lambda: copy.cluster.size(others[0]) == len(others), "a smaller one")
    node.thaw()
    yield [running]


@contextmanager
def restarted(copy: Copy, chosen: Random) -> Iterator[Sequence[Running]]:
    """Restart each node, with another batch half done each time."""
    batches = sorted(chosen.sample(range(2, BATCHES), len(copy.cluster.nodes)))
    running = copy.frozen(INSERT, *batches)
    for batch, node in zip(batches, copy.cluster.nodes, strict=True):
        wait_frozen(running, f"batch {batch}")
        node.stop()
        copy.cluster.start()
        running.thaw()
    yield [running]


@contextmanager
def overtaken(copy: Copy, chosen: Random) -> Iterator[Sequence[Running]]:
    """Map a server by way of another node when the run has just done so."""
    batch = chosen.randrange(2, BATCHES)
    running = copy.frozen("before COMMIT", batch, x={"writers": "1"})
    node = copy.cluster.writer(copy.cloud.url)
    before = copy.cluster.rejections(node)
    row = copy.cloud.instance_mappings.insert().values(
        instance_uuid=copy.uuids[batch * len(copy.uuids) // BATCHES - 1],
        cell_id=copy.cell.id,
        project_id=PROJECT,
        user_id=USER,
        created_at=LONG_AGO,
        queued_for_delete=False,
    )
    database = str(copy.cloud.url.database)
    with copy.cluster.behind(node, missing=row, of=database) as apply:
        running.thaw()
        wait_for(lambda: copy.cluster.rejections(node) > before, "a failure at COMMIT")
        apply()
    yield [running]


@contextmanager
def killed_at_commit(copy: Copy, chosen: Random) -> Iterator[Sequence[Running]]:
    """Kill the node that has committed a batch before it can say so."""
    number, commits = chosen.randrange(3, BATCHES), count(1)
    proxy = Proxy(
        copy.cluster.proxy.active,
        lambda data: bool(COMMIT.search(data)) and next(commits) == number,
        then=copy.cluster.first.daemon.kill,
    )
    with closing(proxy):
        # The proxy has to read what it forwards.
        copy.by_way_of(proxy.port, ssl_disabled="true")
        yield [copy.start()]
    assert proxy.cuts == 1


@contextmanager
def shared(copy: Copy, chosen: Random) -> Iterator[Sequence[Running]]:
    """Let a run meet the batch that another one has committed on another node."""
    one, two, *_ = copy.cluster.nodes
    batch = chosen.randrange(2, BATCHES)
    copy.by_way_of(one.port)
    frozen = copy.frozen(
        "before INSERT INTO cellmap_journal", batch, x={"writers": "1"}
    )
    copy.by_way_of(two.port)
    other = copy.start()
    wait_for(
        lambda: len(copy.cloud.journal(copy.cell)) > batch,
        "a batch of the other run behind that one",
        seconds=SECONDS,
    )
    frozen.thaw()
    yield [frozen, other]
    ended = frozen.wait()
    assert (ended.code, "another run" in ended.err) == (75, True), ended.err


OF_ONE_NODE: dict[str, Cause] = {
    "a node is killed": killed,
    "a node freezes until the others go on without it": frozen,
    "every node is restarted, one after another": restarted,
    "a node dies before its answer to COMMIT": killed_at_commit,
}

CAUSES = {
    **OF_ONE_NODE,
    "another node commits a row of the batch first": overtaken,
    "two runs at once through two nodes": shared,
}


def faults(causes: dict[str, Cause]) -> list[object]:
    """Return *causes* as parameters of a test."""
    return [
        pytest.param(cause, marks=pytest.mark.fault(what), id=what)
        for what, cause in causes.items()
    ]
