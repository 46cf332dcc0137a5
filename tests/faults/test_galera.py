"""A copy ends complete, whatever happens to the nodes of a Galera cluster meanwhile."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from cellmap_migrations.bookkeeping import tables, versions
from cellmap_migrations.common import background
from cellmap_migrations.testing.process import Finished, Running
from tests.faults import nodes
from tests.faults.copying import Copy
from tests.faults.tally import Tally
from tests.harness.books import HEAD
from tests.harness.cloud import Cloud
from tests.harness.galera import Cluster, longest
from tests.harness.inside import alembic_inside, opened
from tests.harness.replicas import folders_for
from tests.harness.waiting import wait_for

Cause = Callable[[Copy, random.Random], AbstractContextManager[Sequence[Running]]]

GALERA = "MariaDB Galera"

# Few enough for a node that is behind: it does not ask the others to wait for it.
FEW = 4

# Seconds; nothing else takes so long in so small a cell.
LONG = 0.5


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Three nodes of Galera behind HAProxy."""
    with folders_for(4) as folders, closing(Cluster(folders)) as made:
        made.start()
        yield made


@contextmanager
def spread(folder: Path, cluster: Cluster, rows: int) -> Iterator[Copy]:
    """Make a cloud on the cluster whose connections are led to all nodes in turn."""
    cluster.start()
    cloud = Cloud(folder, lambda _: cluster.first, backend="mysql")
    cell = cloud.add_cell("cell1")
    chunk = min(rows, 2_000)
    uuids = [uuid for _ in range(rows // chunk) for uuid in cell.add_instances(chunk)]
    made = Copy(cluster=cluster, cloud=cloud, cell=cell, uuids=uuids)
    made.forget()
    yield made
    cluster.start()
    cloud.close()


@pytest.fixture(scope="module")
def large(
    tmp_path_factory: pytest.TempPathFactory,
    cluster: Cluster,
    request: pytest.FixtureRequest,
) -> Iterator[Copy]:
    """A cell to which things happen."""
    rows = 200_000 if request.config.getoption("--thorough") else 2_000
    with spread(tmp_path_factory.mktemp("large"), cluster, rows) as made:
        yield made


@pytest.fixture
def copy(large: Copy, seed: int, *, thorough: bool) -> Iterator[Copy]:
    """The same one, with nothing copied yet."""
    yield replace(large, seed=seed, times=2 if thorough else 1)
    for command in large.cloud.commands:
        command.close()


@pytest.fixture
def small(tmp_path: Path, cluster: Cluster) -> Iterator[Copy]:
    """A cell whose copy is done in no time."""
    with spread(tmp_path, cluster, 100) as made:
        yield made


def fault(cause: Cause, what: str) -> object:
    """Name a cause in docs/reliability.rst."""
    mark = pytest.mark.fault(what, database=GALERA)
    return pytest.param(cause, marks=mark, id=what)


@pytest.mark.parametrize(
    "cause",
    [
        fault(nodes.killed, "a node is killed"),
        fault(nodes.frozen, "a node freezes until the others go on without it"),
        fault(nodes.restarted, "every node is restarted, one after another"),
        fault(nodes.overtaken, "another node commits a row of the batch first"),
        fault(nodes.killed_at_commit, "a node dies before its answer to COMMIT"),
        fault(nodes.shared, "two runs at once through two nodes"),
    ],
)
def test_copy_ends_complete(copy: Copy, tallied: Tally, cause: Cause) -> None:
    for chosen in copy.moments():
        with cause(copy, chosen) as runs:
            tallied.add(*copy.finish(*runs), rows=len(copy.uuids))


def wait_until_it_waits(small: Copy, running: Running) -> None:
    """Return when a run waits for the last node, or has not done so to its end."""
    databases = small.cloud.url, small.cell.url
    wait_for(
        lambda: (
            not running.running()
            or any(longest(small.cluster.nodes[-1], url) > LONG for url in databases)
        ),
        "a run that waits",
    )


@pytest.mark.parametrize(("late", "command"), [("cell", "check"), ("api", "upgrade")])
@pytest.mark.fault("a node is behind when all is done elsewhere", database=GALERA)
def test_command_sees_what_another_node_has_committed(
    small: Copy, tallied: Tally, late: str, command: str
) -> None:
    first, *_, last = small.cluster.nodes
    with small.cluster.behind(last) as apply:
        small.cell.add_instances(FEW)
        small.by_way_of(first.port)
        small.cell_by_way_of(first.port)
        upgraded = alembic_inside(
            small.cloud, "upgrade", "head", cell="cell1", x=small.x(FEW)
        )
        if late == "api":
            small.by_way_of(last.port)
        else:
            small.cell_by_way_of(last.port)
        running = small.cloud.start_cellmap(command, "--cell", "cell1")
        wait_until_it_waits(small, running)
        apply()
        finished = running.wait()

    assert (upgraded.code, upgraded.err) == (0, "")
    assert (finished.code, finished.err) == (0, "")
    tallied.add(upgraded.code, finished.code, rows=len(small.cell.uuids()))


def test_version_is_recorded_where_its_table_has_yet_to_be_created(small: Copy) -> None:
    first, *_, last = small.cluster.nodes
    small.by_way_of(last.port)
    with (
        opened(small.cloud, small.cell) as there,
        versions.connection(there.api, there.mapping) as connection,
        small.cluster.behind(last) as apply,
    ):
        small.by_way_of(first.port)
        with opened(small.cloud, small.cell) as here:
            tables.create_tables(here.api)
        insert = tables.versions.insert().values(version_num=HEAD)
        recorded = background.start(lambda: connection.execute(insert).rowcount)
        wait_for(
            lambda: recorded.done() or longest(last, small.cloud.url) > LONG,
            "an INSERT that waits",
        )
        apply()
        assert recorded.result() == 1

    small.cluster.catch_up()
    assert small.cloud.versions() == {small.cell.uuid: HEAD}


@pytest.mark.fault("a node is behind when a run goes on there", database=GALERA)
def test_run_goes_on_after_what_another_node_has_committed(
    small: Copy, tallied: Tally
) -> None:
    first, *_, last = small.cluster.nodes
    x = small.x(FEW)
    limited = {**x, "max_rows": x["batch_rows_max"]}

    def go_on() -> Finished:
        return alembic_inside(small.cloud, "upgrade", "head", cell="cell1", x=limited)

    small.by_way_of(first.port)
    small.cell_by_way_of(first.port)
    begun = go_on()
    small.cluster.catch_up()
    with small.cluster.behind(last) as apply:
        stopped = go_on()
        small.by_way_of(last.port)
        running = small.cloud.start("upgrade", "head", cell="cell1", x=x)
        wait_until_it_waits(small, running)
        apply()
        codes = small.finish(running)

    assert (begun.code, stopped.code, codes) == (75, 75, [0])
    tallied.add(begun.code, stopped.code, *codes, rows=len(small.uuids))
