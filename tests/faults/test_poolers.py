"""Every command leaves the connections of a pooler as it found them, for nova."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from signal import SIGKILL
from typing import TypeAlias

import pytest

from cellmap_migrations.testing.mapped import assert_cell_mapped
from cellmap_migrations.testing.process import Finished
from cellmap_migrations.testing.servers import Server
from tests.harness.asking import NEWEST, Nova
from tests.harness.pooled import PooledCloud
from tests.harness.poolers import Pooler, multiplexer, pgbouncer, settings, through

MakePooled: TypeAlias = Callable[[str], PooledCloud]

DIFFERENCES = 3

# Each with its exit code. Mappings are removed before differences are found.
COMMANDS = [
    (0, "cellmap cells"),
    (0, "cellmap pause --cell cell1"),
    (0, "cellmap status"),
    (0, "cellmap resume --cell cell1"),
    (0, "cellmap set --cell cell1 batch_seconds=0.4"),
    (0, "cellmap upgrade --cell cell1 --dry-run"),
    (0, "alembic upgrade head"),
    (0, "cellmap check --cell cell1"),
    (0, "cellmap journal --cell cell1"),
    (DIFFERENCES, "cellmap check --cell cell1"),
    (0, "cellmap repair --cell cell1 --dry-run"),
    (0, "cellmap repair --cell cell1"),
    (0, "alembic downgrade base"),
    (0, "cellmap reset --cell cell1"),
]

# All of them have their turns on each session there is, where that is only one. With
# more sessions, these use several at once: they write.
WRITING = [
    (0, "alembic upgrade head"),
    (DIFFERENCES, "cellmap check --cell cell1"),
    (0, "cellmap repair --cell cell1"),
    (0, "alembic downgrade base"),
]

# The number of sessions to look at, where nova has one of its own all the time.
SOME = 5


@pytest.fixture(scope="module")
def clouds(
    tmp_path_factory: pytest.TempPathFactory, cellmap_server: Callable[[str], Server]
) -> Iterator[MakePooled]:
    """Give a cloud on a backend, built by nova when it is first asked for."""
    made: dict[str, PooledCloud] = {}
    with ExitStack() as stack:
        nova = stack.enter_context(closing(Nova(NEWEST)))

        def give(backend: str) -> PooledCloud:
            if backend not in made:
                folder = tmp_path_factory.mktemp(backend)
                cloud = PooledCloud(folder, cellmap_server, nova, backend=backend)
                made[backend] = stack.enter_context(closing(cloud))
            return made[backend]

        yield give


def run(cloud: PooledCloud, command: str) -> Finished:
    """Run one of our commands to its end."""
    program, *words = command.split()
    if program == "cellmap":
        return cloud.cellmap(*words)
    x = {"remove_mappings": "yes"} if "downgrade" in words else {}
    return cloud.alembic(*words, cell="cell1", x=x)


def assert_harmless(cloud: PooledCloud, pooler: Pooler, sessions: int) -> None:
    """Run commands while nova writes, and look at *sessions* after each."""
    servers = cloud.fill()
    cloud.lead_through(pooler)
    fresh = {url: settings(url, 1)[0] for url in (cloud.url, cloud.cell.url)}
    with cloud.writing() as nova:
        commands = COMMANDS if sessions == 1 else WRITING
        for number, (code, command) in enumerate(commands):
            if code == DIFFERENCES:
                for uuid in servers[:20]:
                    cloud.unmap(uuid)
            if command == "alembic upgrade head":
                # Between two batches it holds none of the pool's connections.
                running = cloud.start_frozen("after COMMIT #1", cell="cell1")
                nova.go_on()
                running.thaw()
                finished = running.wait()
            else:
                finished = run(cloud, command)
            assert finished.code == code, (number, command, finished)
            nova.go_on()
            for url, expected in fresh.items():
                for found in settings(through(pooler, url), sessions):
                    changed = dict(found.items() - expected.items())
                    assert changed == {}, (number, command)
            if command == "alembic upgrade head":
                assert set(servers) <= cloud.mapped_uuids(cloud.cell)


@pytest.mark.only_on("postgresql")
@pytest.mark.parametrize(
    ("mode", "size", "sessions"),
    [("session", 10, SOME), ("transaction", 1, 1), ("transaction", 10, 10)],
)
def test_no_command_harms_nova_behind_pgbouncer(
    clouds: MakePooled, backend: str, mode: str, size: int, sessions: int
) -> None:
    cloud = clouds(backend)

    with pgbouncer(cloud.url, mode, size) as pooler:
        assert_harmless(cloud, pooler, sessions)


@pytest.mark.only_on("mysql")
@pytest.mark.parametrize("size", [1, 10])
def test_no_command_harms_nova_behind_a_mysql_proxy(
    clouds: MakePooled, backend: str, size: int
) -> None:
    cloud = clouds(backend)

    with multiplexer(cloud.url, size) as pooler:
        assert_harmless(cloud, pooler, size)


@pytest.mark.only_on("postgresql")
def test_pool_without_transactions_is_refused(clouds: MakePooled, backend: str) -> None:
    cloud = clouds(backend)
    cloud.fill()

    with pgbouncer(cloud.url, "statement", 10) as pooler:
        cloud.lead_through(pooler)
        refused = {command: run(cloud, command) for _, command in COMMANDS}

    for command, finished in refused.items():
        assert finished.code == 78, (command, finished)
        last = finished.err.splitlines()[-1]
        assert "set its pool_mode to transaction or session" in last, command


def assert_killed_run_resumes(cloud: PooledCloud, pooler: Pooler) -> None:
    """Kill an upgrade in the middle of a batch while nova writes; then finish it."""
    servers = cloud.fill()
    cloud.lead_through(pooler)
    with cloud.writing() as nova:
        killed = cloud.start_until(
            "after INSERT INTO instance_mappings #3", SIGKILL, cell="cell1"
        ).wait()
        nova.go_on()
        batches = len(cloud.journal(cloud.cell))
        resumed = run(cloud, "alembic upgrade head")
    assert (killed.code, resumed.code) == (-SIGKILL, 0), resumed
    # The second one may not be committed yet, but has been begun.
    assert 1 <= batches <= 2
    assert set(servers) <= cloud.mapped_uuids(cloud.cell)
    assert_cell_mapped(cloud.cell)


@pytest.mark.only_on("postgresql")
@pytest.mark.parametrize("size", [1, 10])
def test_run_killed_behind_pgbouncer_resumes(
    clouds: MakePooled, backend: str, size: int
) -> None:
    cloud = clouds(backend)

    with pgbouncer(cloud.url, "transaction", size) as pooler:
        assert_killed_run_resumes(cloud, pooler)


@pytest.mark.only_on("mysql")
@pytest.mark.parametrize("size", [1, 10])
def test_run_killed_behind_a_mysql_proxy_resumes(
    clouds: MakePooled, backend: str, size: int
) -> None:
    cloud = clouds(backend)

    with multiplexer(cloud.url, size) as pooler:
        assert_killed_run_resumes(cloud, pooler)
