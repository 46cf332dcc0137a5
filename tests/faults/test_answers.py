"""A run finds out how a COMMIT ended whose connection was cut."""

import random
import re
import threading
from contextlib import closing

import pytest

from tests.conftest import MakeCloud
from tests.faults.struck import BATCH, Struck
from tests.faults.tally import Tally
from tests.harness.proxy import Break, Proxy

COMMIT, SETTING = re.compile(rb"\bCOMMIT\b"), b"ISOLATION LEVEL"


class Commits:
    """Accepts the COMMITs with these numbers, as a proxy sees them."""

    def __init__(self, numbers: set[int]) -> None:
        self.numbers, self.seen = numbers, 0
        # The proxy serves each connection in a thread.
        self.connection = threading.local()

    def __call__(self, data: bytes) -> bool:
        """Take note of what a client sends."""
        # SQLAlchemy sends one after each setting on MariaDB, and writes nothing.
        set_before = getattr(self.connection, "set", False)
        writes = bool(COMMIT.search(data)) and not set_before
        self.connection.set = SETTING in data
        self.seen += writes
        return writes and self.seen in self.numbers


def fault(name: str) -> pytest.MarkDecorator:
    """Name the fault of a way to cut."""
    return pytest.mark.fault(f"the connection was cut at a COMMIT, {name}")


@pytest.mark.only_on("mysql", "postgresql")
@pytest.mark.parametrize(
    "how",
    [
        pytest.param(Break.NO_ANSWER, marks=fault("its answer lost")),
        pytest.param(Break.NO_REQUEST, marks=fault("which never arrived")),
    ],
)
def test_outcome_of_a_commit_is_unknown(
    make_cloud: MakeCloud, tallied: Tally, how: Break, seed: int, *, thorough: bool
) -> None:
    cuts, batches = (30, 100) if thorough else (4, 20)
    numbers = set(random.Random(seed).sample(range(1, batches + 1), cuts))
    struck = Struck(make_cloud(), batches * BATCH)

    with closing(Proxy(struck.port, Commits(numbers), how)) as proxy:
        struck.lead_to(proxy.port)
        ended = struck.run()

    tallied.add(ended.code, times=proxy.cuts, rows=len(struck.servers))
    assert (seed, ended.code, proxy.cuts) == (seed, 0, cuts), ended.err
    struck.lead_to(struck.port)
    struck.assert_right()
