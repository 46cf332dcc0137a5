"""There is no room left on a disk of the API database."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from cellmap_migrations.testing.process import Running
from tests.faults.disks import Small, small_server
from tests.faults.struck import Struck
from tests.faults.tally import Tally
from tests.harness.cloud import Cloud
from tests.harness.inside import last_line

ROWS, BATCH = 8_000, 500

IMPATIENT = {"attempts": "3"}

# The server writes to the segments that it keeps, max_wal_size, before it needs room.
KEPT_SEGMENTS = 64

NEXT_SEGMENT = "SELECT pg_logical_emit_message(true, '', ''); SELECT pg_switch_wal()"

CAUSE = {"mysql": "is full", "postgresql": "No space left on device"}


@pytest.fixture(scope="module")
def small_servers() -> Iterator[Callable[[str], Small]]:
    """Give a server of each kind with disks that can be filled."""
    started: dict[str, Small] = {}
    with ExitStack() as stack:

        def server(backend: str) -> Small:
            if backend not in started:
                started[backend] = stack.enter_context(small_server(backend))
            return started[backend]

        yield server


@pytest.fixture
def small(small_servers: Callable[[str], Small], backend: str) -> Small:
    """The server of the test."""
    return small_servers(backend)


@pytest.fixture
def struck(tmp_path: Path, small: Small, backend: str) -> Iterator[Struck]:
    """A cell whose API database is on that server."""
    cloud = Cloud(tmp_path, lambda _: small.server, backend=backend)
    with closing(cloud):
        yield Struck(cloud, ROWS, batch=BATCH)


def start_frozen(struck: Struck) -> Running:
    """Start a run that stops itself in the middle of the cell."""
    return struck.cloud.start_frozen(
        "after INSERT INTO cellmap_journal #3", cell="cell1", x=IMPATIENT
    )


def use_up_segments(small: Small) -> None:
    """Write to each segment that PostgreSQL keeps, and to one more."""
    for _ in range(KEPT_SEGMENTS + 1):
        small.server.execute(NEXT_SEGMENT)


@pytest.mark.only_on("mysql", "postgresql")
@pytest.mark.fault("the disk of the API database's tables was full")
def test_disk_of_the_tables_is_full(
    struck: Struck, small: Small, tallied: Tally, backend: str
) -> None:
    running = start_frozen(struck)
    small.tables.fill()
    running.thaw()
    ended = running.wait()
    # InnoDB ends its server when a rollback finds no room either (MariaDB 10.11).
    died = not small.server.daemon.running()
    small.tables.clear()
    small.server.start()
    codes = struck.finish(ended.code)

    tallied.add(*codes, rows=len(struck.servers))
    assert codes == [75, 0], ended.err
    assert died or CAUSE[backend] in last_line(ended)
    struck.assert_right()


@pytest.mark.only_on("postgresql")
@pytest.mark.fault("the disk of the server's log was full, and the server died of it")
def test_server_dies_because_its_log_has_no_room(
    struck: Struck, small: Small, tallied: Tally
) -> None:
    running = start_frozen(struck)
    small.log.fill()
    with pytest.raises(sa.exc.OperationalError):
        use_up_segments(small)
    running.thaw()
    ended = running.wait()
    small.log.clear()
    small.server.start()
    codes = struck.finish(ended.code)

    tallied.add(*codes, rows=len(struck.servers))
    assert codes == [75, 0], ended.err
    struck.assert_right()


@pytest.mark.only_on("mysql")
@pytest.mark.fault("the disk of the server's log was full, and COMMIT waited for room")
def test_server_waits_for_room_for_its_log(
    struck: Struck, small: Small, tallied: Tally
) -> None:
    struck.lead_to(struck.port, read_timeout="2")
    running = start_frozen(struck)
    small.log.fill()
    running.thaw()
    ended = running.wait()
    small.log.clear()
    # It looks for room once a minute only.
    small.server.crash()
    small.server.start()
    codes = struck.finish(ended.code)

    tallied.add(*codes, rows=len(struck.servers))
    assert codes == [75, 0], ended.err
    struck.assert_right()
