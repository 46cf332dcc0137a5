"""Somebody else holds a lock on ``instance_mappings``."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.conftest import MakeCloud
from tests.faults.struck import BATCH, Struck
from tests.faults.tally import Tally
from tests.harness.cloud import Cloud
from tests.harness.inside import last_line
from tests.harness.waiting import wait_for

# How long a lock is held in earnest, in seconds.
LONG = 30.0

ROWS = "UPDATE instance_mappings SET user_id = 'x'"

TABLE = {
    "mysql": "LOCK TABLES instance_mappings WRITE",
    "postgresql": "LOCK TABLE instance_mappings IN ACCESS EXCLUSIVE MODE",
}

# The next attempt at what meets the lock: that of a page of lines came first, and to
# describe a table PostgreSQL waits for it.
ROWS_AGAIN = dict.fromkeys(TABLE, "before INSERT INTO instance_mappings #3")

TABLE_AGAIN = {
    "mysql": "before FROM instance_mappings #2",
    "postgresql": "before pg_attribute.attname AS name #2",
}


@contextmanager
def held(cloud: Cloud, statement: str) -> Iterator[None]:
    """Hold what *statement* locks while the block runs, and change nothing."""
    with cloud.engine.begin() as connection:
        connection.exec_driver_sql(statement)
        yield
        connection.rollback()


@pytest.mark.only_on("mysql", "postgresql")
@pytest.mark.parametrize(
    ("lock", "again"),
    [
        pytest.param(
            dict.fromkeys(TABLE, ROWS),
            ROWS_AGAIN,
            marks=pytest.mark.fault("rows of instance_mappings were locked"),
            id="rows",
        ),
        pytest.param(
            TABLE,
            TABLE_AGAIN,
            marks=pytest.mark.fault("the whole of instance_mappings was locked"),
            id="table",
        ),
    ],
)
def test_mappings_are_locked(
    make_cloud: MakeCloud,
    backend: str,
    lock: dict[str, str],
    again: dict[str, str],
    tallied: Tally,
    *,
    thorough: bool,
) -> None:
    struck = Struck(make_cloud(), 10 * BATCH)
    until = time.monotonic() + (LONG if thorough else 0)

    with held(struck.cloud, lock[backend]):
        gave_up = struck.run(**{} if thorough else {"attempts": "2"})
        # It has met the lock, and is about to try again.
        running = struck.cloud.start_frozen(
            again[backend], cell="cell1", x={"writers": "1"}
        )
        if thorough:
            running.thaw()
            wait_for(lambda: time.monotonic() > until, "the end of it", seconds=LONG)
    running.thaw()
    codes = struck.finish(gave_up.code, running.wait().code)

    tallied.add(*codes, rows=len(struck.servers))
    assert codes == [75, 0]
    assert re.search("failed .* times, .*[Ll]ock (wait )?timeout", last_line(gave_up))
    struck.assert_right()
